/* `tocsin-sim train`: records.h by options, into a file. */
#ifndef TOC_SIM_TRAIN_H
#define TOC_SIM_TRAIN_H

/** The options, for the usage text. */
extern const char toc_train_usage[];

/** @return the exit status: 0, 1 (said why), 2 (options are wrong: the caller shows the usage) */
int toc_train(int argc, char **argv);

#endif
