/* Command-line options of tocsin-sim: a table of names and places, and one operand at most. */
#ifndef TOC_SIM_OPTIONS_H
#define TOC_SIM_OPTIONS_H

enum toc_option_type {
    TOC_OPTION_FLAG,   /* bool *, no value */
    TOC_OPTION_COUNT,  /* unsigned long long * */
    TOC_OPTION_NUMBER, /* double *, finite */
    TOC_OPTION_TEXT    /* const char **, borrowed from argv */
};

struct toc_option {
    const char *name; /* "--seed"; NULL ends the table */
    enum toc_option_type type;
    void *value;
};

/** @param ret_operand NULL: none is allowed. @return 0; -EINVAL after saying on stderr what is wrong */
int toc_options_read(int argc, char **argv, const struct toc_option *options, const char **ret_operand);

#endif
