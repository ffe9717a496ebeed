/*
 * The commands of the operator's tool. Each takes its own arguments (argv[0]
 * is the command's name) and returns the exit code: 0 done, 1 the thing
 * asked about is not well, 2 bad arguments or input.
 */
#ifndef TOC_DAEMON_CLI_COMMANDS_H
#define TOC_DAEMON_CLI_COMMANDS_H

#define TOC_DEFAULT_ALERT_SOCKET "/run/tocsin/alerts.sock"
#define TOC_DEFAULT_CONTROL_SOCKET "/run/tocsin/control.sock"

int toc_command_tail(int argc, char **argv);
int toc_command_status(int argc, char **argv);
int toc_command_check(int argc, char **argv);
int toc_command_reload(int argc, char **argv);
int toc_command_replay(int argc, char **argv);
int toc_command_model(int argc, char **argv);

#endif
