/*
 * The values that flow: chunk -> (window) -> pick -> estimate -> event ->
 * alert. Plain structs, no behaviour. Every number carries its unit in its
 * name; every pointer says who owns it.
 */
#ifndef TOC_CORE_TYPES_H
#define TOC_CORE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nstime.h"

/* "FDSN:" + 8 + 8 + 8 + band + source + subsource (1..3) + 5 separators + NUL, rounded up. */
#define TOC_SID_SIZE 48

/* Capacities. A live event must never be lost for want of room, so they are generous. */
#define TOC_EVENT_PICKS_MAX 96  /* P and S picks kept with one event */
#define TOC_ALERT_STATIONS_MAX 96
#define TOC_ALERT_TARGETS_MAX 64
#define TOC_EVENT_ID_SIZE 40
#define TOC_NAME_SIZE 64

/** One decoded record: contiguous samples of one channel. */
struct toc_chunk {
    char sid[TOC_SID_SIZE]; /* FDSN source identifier of the channel: FDSN:NET_STA_LOC_B_S_SS */
    toc_ns start;           /* time of samples[0], time correction applied */
    double rate_hz;         /* 0.01..10000, finite */
    uint32_t n;             /* number of samples, >= 1 */
    const float *samples;   /* counts (or units of the source); borrowed from the decoder, valid until its
                               next call. May hold NaN or Inf: the ring marks those as gap. Counts
                               above 2^24 lose their last bits: float has 24. */
    int8_t timing_quality;  /* percent, -1 unknown */
};

enum toc_phase { TOC_PHASE_P = 0, TOC_PHASE_S = 1 };

/** Which components of a group deliver: what a picker hears differs, and so do its thresholds. */
enum toc_layout { TOC_LAYOUT_THREE = 0, TOC_LAYOUT_TWO = 1, TOC_LAYOUT_VERTICAL = 2, TOC_LAYOUTS = 3 };

enum toc_pick_method { TOC_METHOD_CNN = 0, TOC_METHOD_CLASSICAL = 1 };

/** What made an arrival (core/domain.h). */
enum toc_domain_class {
    TOC_DOMAIN_UNKNOWN = 0, /* not said, or no class has half of the probability */
    TOC_DOMAIN_LOCAL,       /* an earthquake within a few hundred kilometres */
    TOC_DOMAIN_TELESEISM,
    TOC_DOMAIN_BLAST,
    TOC_DOMAIN_NOISE,
    TOC_DOMAIN_CALIBRATION, /* the instrument itself: pulses, tones, steps, spikes */
    TOC_DOMAIN_CLASSES
};

struct toc_verdict {
    enum toc_domain_class kind; 
    float probability; /* of the class; of the likeliest when unknown, 0 when nothing was measured */
    float foreign;     /* of teleseism, noise and calibration together */
};

/** What the second look says of a pick; the last revision holds (core/second.h). */
enum toc_standing {
    TOC_STANDING_SAID = 0,  /* not looked at again: said, and that is all */
    TOC_STANDING_OPEN,      /* looked at, neither sure */
    TOC_STANDING_CONFIRMED,
    TOC_STANDING_WITHDRAWN  /* no P began there: it counts for nothing */
};

/** A phase arrival at one station group (one sensor of one site). */
struct toc_pick {
    uint64_t id;        /* unique in this process, from 1 */
    uint32_t group;     /* index of the station group in the registry */
    uint32_t site;      /* index of the site (NET_STA), shared by co-located groups */
    enum toc_phase phase;
    toc_ns time;        /* onset, corrected for every known delay */
    float sigma_s;      /* one standard deviation of the onset time */
    float probability;  /* 0..1, as the network gave it at declaration, from revision 1 on as the second look gives it */
    toc_ns declared;    /* data time of the frame that said it (>= time) */
    enum toc_pick_method method;
    float snr_db;       /* 20 log10 of the 0.2 s RMS over the slow RMS, 2-20 Hz, NAN unknown */
    float classical_ratio; /* what the classical picker heard: its largest STA/LTA within the second before `declared`;
                              it picks at TOC_CLASSIC_TRIGGER (core/classic.h). 0: nothing yet */
    int8_t polarity;    /* +1 up, -1 down, 0 unclear, or too early to say (core/polarity.h) */
    uint8_t revision;   /* 0 first said, counts up; of the following three 0 says nothing */
    enum toc_standing standing;
    float s_probability; /* that an S began there instead */
    toc_ns revised;      /* data time of the newest sample this revision has seen */
    struct toc_verdict domain; /* of a P; the newest one where an event holds the pick */
};

/** One step of the estimator at one station, or of the classical relation (see method). */
struct toc_estimate {
    uint64_t pick_id;
    uint32_t group;
    uint32_t site;
    toc_ns pick_time;
    float after_p_s;          /* seconds of signal seen after the pick */
    float magnitude;          /* at distance_km where that is known; NAN when no gain is */
    float magnitude_sigma;
    float distance_km;        /* hypocentral, of the origin the pick belongs to; NAN: none yet */
    struct toc_magnitude_at_distance {
        float likeliest[3];   /* a + b x + c x^2, x = log10 of the hypocentral distance in km - 1.5 */
        float below, above;   /* sigma to either side of it */
    } at_distance;            /* for toc_estimator_magnitude_at(); NAN as the magnitude */
    float s_minus_p_s;        /* median of the predicted S-P time */
    float s_minus_p_sigma_s;
    bool saturated;           /* the sensor clipped, or the window is too short for this size */
    /* Classical measurements, vertical component, from P to window_s after it (core/pparam.h). NAN unknown: without gain
     * all but the ratios to the noise. */
    float pa_ms2, pv_ms, pd_m; /* peaks, high-passed at 0.075 Hz */
    float pe_m;                /* peak displacement high-passed at 0.5 Hz */
    float snr_pe;              /* pe_m over the peak of the same trace just before P */
    float iv2_m2s;             /* integral of squared velocity */
    float tau_c_s, tau_p_max_s;
    float snr_db;              /* mean square velocity over that before P */
    float window_s;            /* after_p_s, or less: these end before S */
    int8_t polarity;           /* of the pick, as known now */
    bool clipped;              /* some sample since P was */
    bool s_guarded;            /* S is known to have come within after_p_s, and is not in them */
    struct toc_verdict domain; /* of the arrival, by now */
};

/** What an origin of many stations says of an arrival at one of them. */
struct toc_expected {
    toc_ns s_time;
    double hypocentral_km, sigma_km;
};

/** Source parameters with one-sigma uncertainties. */
struct toc_origin {
    toc_ns time;
    double time_sigma_s;
    double latitude_deg, longitude_deg;
    double horizontal_sigma_km;
    double depth_km, depth_sigma_km;
    double rms_s;            /* of the residuals used */
    double azimuth_gap_deg;
    uint16_t used_picks;     /* picks that entered the solution */
    uint16_t used_sites;
};

/** A pick as an event holds it. */
struct toc_event_pick {
    struct toc_pick pick;    /* copy */
    double residual_s;       /* observed - predicted, with the event's current origin */
    double distance_km;      /* epicentral, current origin */
    double azimuth_deg;      /* event to station */
    bool used;               /* false: kept but found to be an outlier, or left out */
    bool left_out;           /* by the associator: too likely no arrival of a local quake (pick.domain) */
};

/** The magnitude of one station as it enters an event. */
struct toc_station_magnitude {
    uint32_t group, site;
    float after_p_s;
    float magnitude, magnitude_sigma; /* network and classical combined */
    float magnitude_upper;            /* the quake is larger in one case of some 40 */
    float weight;                     /* share in the event's magnitude, 0..1 */
    bool saturated;
    bool used;
};

/** Terms of the score, each in 0..1; core/fusion.h states how each is made. */
struct toc_score_terms {
    double evidence;   /* the picks themselves */
    double stations;   /* how many independent sites */
    double residual;   /* how well the times agree with one origin */
    double expected;   /* share of the sites that should have seen it and did */
    double magnitude;  /* is the size known well enough to speak */
};

/** One earthquake in the making. Owned by the associator; others borrow until its next call. */
struct toc_event {
    uint64_t id;                   /* unique in this process, from 1 */
    char name[TOC_EVENT_ID_SIZE];  /* public id, a function of its content: same data, same id */
    toc_ns opened;                 /* `now` when opened */
    toc_ns changed;                /* `now` of the last new pick */
    struct toc_origin origin;
    uint16_t n_picks;
    struct toc_event_pick picks[TOC_EVENT_PICKS_MAX];
    uint16_t expected_sites;       /* usable sites whose P should have come by now */
    uint16_t expected_missing;     /* of these, without a pick */
    /* filled by fusion */
    uint16_t n_magnitudes;
    struct toc_station_magnitude magnitudes[TOC_EVENT_PICKS_MAX];
    double magnitude, magnitude_sigma; /* NAN until known */
    double magnitude_upper;        /* larger in one case of some 40; NAN unknown, or nothing above is ruled out (at least) */
    bool magnitude_at_least;       /* true: a lower bound (clipped or short windows) */
    double score;                  /* 0..1 */
    struct toc_score_terms terms;
    struct toc_verdict domain;     /* of its P picks together, core/fusion.h */
};

enum toc_alert_type {
    TOC_ALERT_TENTATIVE,
    TOC_ALERT_ALERT,
    TOC_ALERT_UPDATE,
    TOC_ALERT_FINAL,
    TOC_ALERT_CANCEL,
    TOC_ALERT_EXPIRED
};

struct toc_alert_station {
    uint32_t group;
    char sid[TOC_SID_SIZE]; /* group sid, FDSN:NET_STA_LOC_B_S */
    bool used;
    const char *reason;     /* static text: why it is or is not used */
    float weight;           /* share in the magnitude */
};

struct toc_alert_target {
    char name[TOC_NAME_SIZE];
    double latitude_deg, longitude_deg;
    double distance_km;     /* epicentral */
    double mmi, mmi_sigma;
    double pga_ms2, pgv_ms;
    double p_exceed;        /* probability that MMI passes the target's own limit */
    toc_ns s_arrival;
    double seconds_left;    /* s_arrival - now, may be negative */
    bool blind_zone;        /* S is there before the alert */
};

/** A message about an event, complete in itself. Pulled from the pipeline, then owned by the caller. */
struct toc_alert {
    enum toc_alert_type type;
    char event[TOC_EVENT_ID_SIZE];
    uint32_t version;       /* counts up per event */
    struct toc_origin origin;
    double magnitude, magnitude_sigma, magnitude_upper;
    bool magnitude_at_least;
    double score;
    struct toc_score_terms terms;
    struct toc_verdict domain;
    uint16_t n_stations;
    struct toc_alert_station stations[TOC_ALERT_STATIONS_MAX];
    uint16_t n_targets;
    struct toc_alert_target targets[TOC_ALERT_TARGETS_MAX];
    enum toc_pick_method method; /* classical: no pick of it came from a network */
    const char *rule;       /* static text: the rule that decided */
    const char *reason;     /* static text: why this message now */
    toc_ns issued;          /* `now` of the decision (data clock in replay) */
    /* Latency ledger of the deciding packet; TOC_NS_NONE unknown. */
    toc_ns ledger_sample;   /* newest sample that mattered */
    toc_ns ledger_arrival;  /* `now` when its packet came in */
};

#endif
