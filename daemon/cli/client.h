/*
 * The tool's end of the daemon's sockets: blocking, line by line.
 */
#ifndef TOC_DAEMON_CLI_CLIENT_H
#define TOC_DAEMON_CLI_CLIENT_H

#include <stddef.h>

/** Find the socket: `given`, or the one a configuration names, or the default. @return 0, or 2 (said on stderr) */
int toc_client_socket(const char *given, const char *config, int control, char *ret_path, size_t size);

/** Give a command on the control socket. @return the whole answer (owned), or NULL (said on stderr) */
char *toc_client_ask(const char *path, const char *command);

#endif
