/* liblo's side of the codec benchmark: lines of hex in, nanoseconds to read and to write each packet out. liblo takes
 * bundles apart only to dispatch them, and knows neither arrays nor the tag r: those packets get "-". */
#include <lo/lo.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CALLS = 256, BATCH_NS = 500000, MAX_PACKET = 65536 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static volatile double sink;

static void look_at(lo_message m) {
    const char *types = lo_message_get_types(m);
    lo_arg **argv = lo_message_get_argv(m);
    double sum = 0;
    for (int i = 0; types[i]; i++) {
        if (types[i] == 'i') sum += argv[i]->i;
        else if (types[i] == 'f') sum += argv[i]->f;
        else if (types[i] == 's') sum += argv[i]->s;
    }
    sink = sum;
}

/* Reading works in place and swaps bytes, so every read gets a fresh copy, as from a socket. */
static lo_message read_copy(const unsigned char *packet, size_t size, char *copy) {
    memcpy(copy, packet, size);
    return lo_message_deserialise(copy, size, NULL);
}

int main(void) {
    static char line[2 * MAX_PACKET + 2], copy[MAX_PACKET], out[MAX_PACKET];
    static unsigned char packet[MAX_PACKET];
    while (fgets(line, sizeof line, stdin)) {
        size_t size = strcspn(line, "\n") / 2;
        for (size_t i = 0; i < size; i++) {
            unsigned byte;
            sscanf(line + 2 * i, "%2x", &byte);
            packet[i] = (unsigned char)byte;
        }
        lo_message m = packet[0] == '/' ? read_copy(packet, size, copy) : NULL;
        if (!m) {
            puts("- -");
            continue;
        }
        double start = now(), read, write;
        long calls = 0;
        do {
            for (int i = 0; i < CALLS; i++, calls++) {
                lo_message each = read_copy(packet, size, copy);
                look_at(each);
                lo_message_free(each);
            }
        } while (now() - start < BATCH_NS);
        read = (now() - start) / calls;

        start = now();
        calls = 0;
        do {
            for (int i = 0; i < CALLS; i++, calls++) {
                size_t written = sizeof out;
                lo_message_serialise(m, (const char *)packet, out, &written);
                sink = written;
            }
        } while (now() - start < BATCH_NS);
        write = (now() - start) / calls;
        lo_message_free(m);
        printf("%.2f %.2f\n", read, write);
    }
    return 0;
}
