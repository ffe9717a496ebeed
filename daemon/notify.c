/*
 * Thin words over libsystemd, so that the rest of the daemon needs none of it.
 */
#include "daemon/notify.h"

#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "daemon/clock.h"

void toc_notify_init(struct toc_notify *notify)
{
    uint64_t period_us = 0;

    *notify = (struct toc_notify){0};
    if (sd_watchdog_enabled(0, &period_us) > 0)
        notify->watchdog_s = (double)period_us / 1e6;
}

void toc_notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void toc_notify_reloading(struct toc_mono now)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(now.ns / 1000));
}

void toc_notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

void toc_notify_status(struct toc_notify *notify, const char *text)
{
    if (strcmp(notify->status, text) == 0)
        return;
    snprintf(notify->status, sizeof(notify->status), "%s", text);
    (void)sd_notifyf(0, "STATUS=%s", text);
}

void toc_notify_alive(struct toc_notify *notify, struct toc_mono now)
{
    if (notify->watchdog_s <= 0 || toc_clock_elapsed_s(notify->fed, now) < notify->watchdog_s / 2.5)
        return;
    notify->fed = now;
    (void)sd_notify(0, "WATCHDOG=1");
}
