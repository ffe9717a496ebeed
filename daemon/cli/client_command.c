/*
 * One connection, one question, one answer.
 */
#include "daemon/cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/cli/commands.h"
#include "daemon/config.h"
#include "daemon/files.h"
#include "daemon/unixsock.h"

#define ANSWER_BYTES_MAX (64u << 20)

int toc_client_socket(const char *given, const char *config, int control, char *ret_path, size_t size)
{
    struct toc_config_error error = {0};
    struct toc_config *c = NULL;
    char text[1024];

    if (given || !config) {
        snprintf(ret_path, size, "%s", given ? given : control ? TOC_DEFAULT_CONTROL_SOCKET : TOC_DEFAULT_ALERT_SOCKET);
        return 0;
    }
    if (toc_config_load(config, &c, &error) < 0) {
        toc_config_error_str(&error, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
        return 2;
    }
    snprintf(ret_path, size, "%s", control ? c->control_path : c->output_path);
    toc_config_destroy(c);
    return 0;
}

static char *read_answer(int fd)
{
    size_t size = 65536, len = 0;
    char *text = malloc(size);

    while (text) {
        ssize_t n = read(fd, text + len, size - 1 - len);

        if (n <= 0) {
            text[len] = 0;
            return text;
        }
        len += (size_t)n;
        if (len == size - 1) {
            char *grown = size < ANSWER_BYTES_MAX ? realloc(text, size *= 2) : NULL;

            if (!grown)
                free(text);
            text = grown;
        }
    }
    return NULL;
}

char *toc_client_ask(const char *path, const char *command)
{
    int fd = toc_unix_connect(path);
    char *answer = NULL;

    if (fd < 0) {
        fprintf(stderr, "tocsin: %s: %s (is tocsind running?)\n", path, strerror(-fd));
        return NULL;
    }
    if (dprintf(fd, "%s\n", command) > 0)
        answer = read_answer(fd);
    close(fd);
    if (!answer || !answer[0]) {
        fprintf(stderr, "tocsin: %s: no answer (only root and the daemon's user may ask)\n", path);
        free(answer);
        return NULL;
    }
    return answer;
}
