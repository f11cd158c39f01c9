/* Counts /play with liblo's own server thread. Prints its port, then the count for every line on standard input. */
#include <lo/lo.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_ulong count;
static volatile float gain;

static int play(const char *path, const char *types, lo_arg **argv, int argc, lo_message msg, void *user)
{
    (void)path, (void)msg, (void)user;
    if (argc == 3 && types[0] == 's' && types[2] == 'f') {
        gain = argv[2]->f;
        atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    }
    return 0;
}

int main(void)
{
    lo_server_thread server = lo_server_thread_new(NULL, NULL);
    if (!server)
        return 1;
    lo_server_thread_add_method(server, "/play", NULL, play, NULL);
    lo_server_thread_start(server);
    printf("%d\n", lo_server_thread_get_port(server));
    fflush(stdout);
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        printf("%lu\n", atomic_load(&count));
        fflush(stdout);
    }
    return 0;
}
