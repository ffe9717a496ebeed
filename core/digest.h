/*
 * SHA-256 (FIPS 180-4): the name of a model that depends on every byte of it.
 * It tells files apart and notices damage; it does not say who made them.
 * Our own, because a digest is no reason for another library to be installed.
 */
#ifndef TOC_CORE_DIGEST_H
#define TOC_CORE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define TOC_DIGEST_TEXT_SIZE 65 /* 64 hex digits and NUL */

/** A digest being taken; a plain value. */
struct toc_digest {
    uint32_t words[8];
    uint64_t len; /* bytes so far */
    uint8_t block[64];
};

void toc_digest_init(struct toc_digest *digest);
void toc_digest_add(struct toc_digest *digest, const void *bytes, size_t len);
/** Ends it; `digest` is of no use afterwards. @param ret_text lower-case hex */
void toc_digest_text(struct toc_digest *digest, char ret_text[TOC_DIGEST_TEXT_SIZE]);

#endif
