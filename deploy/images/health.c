/*
 * trunkline-health ADDRESS [--service NAME] [--timeout SECONDS]
 *
 * Asks grpc.health.v1 once, as `trunkline health` does, without starting Python: for probes that are commands. ADDRESS is
 * HOST:PORT with a host in numbers (or localhost), or unix:PATH. Status 0: SERVING. 1: anything else, or no answer in
 * time; one line on stderr says what. 2: wrong arguments.
 */

#define _GNU_SOURCE /* memmem */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, GOAWAY = 7 }; /* frames of HTTP/2 */
enum { END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };
enum { FRAME_HEAD = 9, MOST_PAYLOAD = 16384, MOST_NAME = 120 };
enum { STREAM = 1, NOT_FOUND = 5, NONE = -1 };

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char PATH[] = "/grpc.health.v1.Health/Check";
static const char *STATUS_NAMES[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};

static const char *address;
static double timeout_s = 2;
static double deadline;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(int status, const char *what) {
    fprintf(stderr, "trunkline-health: %s: %s\n", address ? address : "no address", what);
    exit(status);
}

static void fail_with_errno(const char *what) {
    char text[128];
    snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
    fail(1, text);
}

static void wait_for(int descriptor, short events) {
    struct pollfd one = {.fd = descriptor, .events = events};
    for (;;) {
        double left_s = deadline - now();
        int found = left_s > 0 ? poll(&one, 1, (int)(left_s * 1000) + 1) : 0;
        if (found > 0) return;
        if (found == 0 && deadline - now() <= 0) {
            char text[64];
            snprintf(text, sizeof text, "no answer within %g s", timeout_s);
            fail(1, text);
        }
        if (found < 0 && errno != EINTR) fail_with_errno("poll");
    }
}

/* Fills `to` with a socket address; its length, or 0 for what is none. */
static socklen_t parse_address(struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un *local = (struct sockaddr_un *)to;
        const char *path = address + 5;
        if (*path == '\0' || strlen(path) >= sizeof local->sun_path) return 0;
        local->sun_family = AF_UNIX;
        strcpy(local->sun_path, path);
        return sizeof *local;
    }
    const char *colon = strrchr(address, ':');
    char host[64], *end;
    if (colon == NULL || colon == address || (size_t)(colon - address) >= sizeof host) return 0;
    long port = strtol(colon + 1, &end, 10);
    if (*end != '\0' || end == colon + 1 || port < 1 || port > 65535) return 0;
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    if (strcmp(host, "localhost") == 0) strcpy(host, "127.0.0.1");
    struct sockaddr_in *four = (struct sockaddr_in *)to;
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        return sizeof *four;
    }
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
    size_t length = strlen(host);
    if (host[0] != '[' || host[length - 1] != ']') return 0;
    host[length - 1] = '\0';
    if (inet_pton(AF_INET6, host + 1, &six->sin6_addr) != 1) return 0;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    return sizeof *six;
}

static int connected(const struct sockaddr_storage *to, socklen_t length) {
    int descriptor = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_with_errno("socket");
    if (connect(descriptor, (const struct sockaddr *)to, length) == 0) return descriptor;
    if (errno != EINPROGRESS) fail_with_errno("nothing listens there");
    wait_for(descriptor, POLLOUT);
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    errno = error;
    if (error != 0) fail_with_errno("nothing listens there");
    return descriptor;
}

static unsigned char *put(unsigned char *at, const void *bytes, size_t count) {
    memcpy(at, bytes, count);
    return at + count;
}

static unsigned char *put_frame(unsigned char *at, int type, int flags, int stream, const void *payload, size_t count) {
    unsigned char head[FRAME_HEAD] = {0, (unsigned char)(count >> 8), (unsigned char)count, (unsigned char)type,
                                      (unsigned char)flags, 0, 0, 0, (unsigned char)stream};
    return put(put(at, head, sizeof head), payload, count);
}

/* A literal field that is not to be remembered (RFC 7541, 6.2.2): `name` as index bytes or text, then the value. */
static unsigned char *put_field(unsigned char *at, const char *name, size_t name_length, const char *value) {
    at = put(at, name, name_length);
    *at++ = (unsigned char)strlen(value);
    return put(at, value, strlen(value));
}

static size_t request(unsigned char *buffer, const char *service) {
    unsigned char fields[256], message[5 + 2 + MOST_NAME], *at = fields;
    *at++ = 0x83; /* :method POST */
    *at++ = 0x86; /* :scheme http */
    at = put_field(at, "\x04", 1, PATH);
    at = put_field(at, "\x01", 1, "localhost"); /* :authority */
    at = put_field(at, "\x0f\x10", 2, "application/grpc"); /* content-type */
    at = put_field(at, "\x00\x02te", 4, "trailers");
    size_t length = strlen(service), inner = length > 0 ? length + 2 : 0;
    memset(message, 0, 5);
    message[4] = (unsigned char)inner;
    message[5] = 0x0a; /* HealthCheckRequest.service */
    message[6] = (unsigned char)length;
    memcpy(message + 7, service, length);
    unsigned char *end = put(buffer, PREFACE, sizeof PREFACE - 1);
    end = put_frame(end, SETTINGS, 0, 0, "", 0);
    end = put_frame(end, HEADERS, END_HEADERS, STREAM, fields, (size_t)(at - fields));
    end = put_frame(end, DATA, END_STREAM, STREAM, message, 5 + inner);
    return (size_t)(end - buffer);
}

static void write_all(int descriptor, const unsigned char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = send(descriptor, bytes, count, MSG_NOSIGNAL);
        if (done > 0) {
            bytes += done;
            count -= (size_t)done;
        } else if (errno == EAGAIN) {
            wait_for(descriptor, POLLOUT);
        } else if (errno != EINTR) {
            fail_with_errno("the connection was lost");
        }
    }
}

static void read_all(int descriptor, unsigned char *bytes, size_t count) {
    while (count > 0) {
        wait_for(descriptor, POLLIN);
        ssize_t done = recv(descriptor, bytes, count, 0);
        if (done == 0) fail(1, "the connection was closed before an answer");
        if (done > 0) {
            bytes += done;
            count -= (size_t)done;
        } else if (errno != EAGAIN && errno != EINTR) {
            fail_with_errno("the connection was lost");
        }
    }
}

/* The status of the call in a block of header fields, or NONE. gRPC's servers write it as plain text. */
static int call_status(const unsigned char *block, size_t count) {
    static const char name[] = "grpc-status";
    const unsigned char *found = memmem(block, count, name, sizeof name - 1);
    if (found == NULL) return NONE;
    const unsigned char *at = found + sizeof name - 1, *end = block + count;
    if (end - at < 2 || *at < 1 || *at > 2 || end - at < 1 + *at) return NONE;
    int status = 0;
    for (int digit = 1; digit <= *at; digit++) status = status * 10 + (at[digit] - '0');
    return status;
}

/* The status in a HealthCheckResponse behind the five bytes of its message; NONE for what is no such message. */
static int serving_status(const unsigned char *data, size_t count) {
    if (count == 5) return 0;
    if (count != 7 || data[0] != 0 || data[5] != 0x08) return NONE;
    return data[6] < sizeof STATUS_NAMES / sizeof *STATUS_NAMES ? data[6] : NONE;
}

static void refuse_call(int status, const char *service) {
    char text[64 + MOST_NAME];
    if (status == NOT_FOUND) snprintf(text, sizeof text, "it knows no service '%s'", service);
    else if (status == NONE) snprintf(text, sizeof text, "the call failed");
    else snprintf(text, sizeof text, "the call failed with status %d of gRPC", status);
    fail(1, text);
}

/* Reads frames until the call has ended. The status of the service. */
static int answer(int descriptor, const char *service) {
    static unsigned char payload[MOST_PAYLOAD];
    unsigned char head[FRAME_HEAD];
    int serving = NONE, ended = 0, status = NONE;
    while (!ended) {
        read_all(descriptor, head, sizeof head);
        size_t count = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (count > sizeof payload) fail(1, "what answers speaks no HTTP/2");
        read_all(descriptor, payload, count);
        int type = head[3], flags = head[4];
        uint32_t stream = (head[5] & 0x7fu) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
        if (type == GOAWAY && count >= 8 && memcmp(payload, "\0\0\0\0", 4) == 0) fail(1, "it takes no more calls");
        if (stream != STREAM) continue;
        if (type == RST_STREAM) fail(1, "the call was reset");
        size_t skip = (type == DATA || type == HEADERS) && flags & PADDED ? 1 : 0;
        size_t padding = skip && count > 0 ? payload[0] : 0;
        if (skip + padding > count) fail(1, "what answers speaks no HTTP/2");
        if (type == DATA && count > skip + padding) serving = serving_status(payload + skip, count - skip - padding);
        if (type == HEADERS) status = call_status(payload, count);
        ended = (type == DATA || type == HEADERS) && flags & END_STREAM;
    }
    if (serving == NONE || status > 0) refuse_call(status, service);
    return serving;
}

int main(int count, char **words) {
    const char *service = "";
    for (int each = 1; each < count; each++) {
        char *end = NULL;
        if (strcmp(words[each], "--service") == 0 && each + 1 < count) {
            service = words[++each];
        } else if (strcmp(words[each], "--timeout") == 0 && each + 1 < count) {
            timeout_s = strtod(words[++each], &end);
            if (*end != '\0' || !(timeout_s > 0 && timeout_s <= 3600)) fail(2, "--timeout takes seconds, such as 2.5");
        } else if (address == NULL && words[each][0] != '-') {
            address = words[each];
        } else {
            fail(2, "usage: trunkline-health HOST:PORT|unix:PATH [--service NAME] [--timeout SECONDS]");
        }
    }
    if (address == NULL) fail(2, "usage: trunkline-health HOST:PORT|unix:PATH [--service NAME] [--timeout SECONDS]");
    if (strlen(service) > MOST_NAME) fail(2, "the name of the service is longer than 120 bytes");
    struct sockaddr_storage to;
    socklen_t length = parse_address(&to);
    if (length == 0) fail(2, "no address: HOST:PORT with a host in numbers, or unix:PATH");
    deadline = now() + timeout_s;
    int descriptor = connected(&to, length);
    unsigned char buffer[1024];
    write_all(descriptor, buffer, request(buffer, service));
    int status = answer(descriptor, service);
    puts(STATUS_NAMES[status]);
    return status == 1 ? 0 : 1;
}
