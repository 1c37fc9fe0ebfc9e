// Runs in a guest: writes to its disk as `disk.h` says, and tells the console how it fares.
//
//     writer DEVICE MILLISECONDS

#define _GNU_SOURCE
#include "disk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int disk;
// O_DIRECT wants it aligned.
static struct sector *buffer;

static void pause_for(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

// What cannot be read or written now may be later: a disk that fails is reported, and tried again.
static void insist(const char *done, uint64_t place, ssize_t (*move)(uint64_t)) {
    while (move(place) != SECTOR) {
        printf("DISK-ERROR sector %llu cannot be %s: %s\n", (unsigned long long)place, done, strerror(errno));
        pause_for(500);
    }
}

static ssize_t move_in(uint64_t place) { return pread(disk, buffer, SECTOR, place * SECTOR); }
static ssize_t move_out(uint64_t place) { return pwrite(disk, buffer, SECTOR, place * SECTOR); }

static struct sector read_sector(uint64_t place) {
    insist("read", place, move_in);
    return *buffer;
}

static void write_sector(uint64_t place, struct sector *sector) {
    sector->checksum = checksum(sector);
    *buffer = *sector;
    insist("written", place, move_out);
}

static struct sector entry, slot, before;

static void take_over(void) {
    entry.kind = ENTRY;
    for (struct sector last; entry.number < MOST_STARTS; entry.number++) {
        last = read_sector(STARTS + entry.number);
        if (is_empty(&last)) break;
        entry.other_nonce = is_whole(&last, ENTRY) ? last.nonce : 0;
    }
    if (entry.number == MOST_STARTS) {
        printf("DISK-FULL there is no room for another start: make the VM a new disk\n");
        exit(1);
    }
    do {
        while (getrandom(&entry.nonce, sizeof entry.nonce, 0) != sizeof entry.nonce || entry.nonce == 0) continue;
        slot = read_sector(slot_of(entry.nonce));
    } while (!is_empty(&slot));
    if (entry.other_nonce) before = read_sector(slot_of(entry.other_nonce));
    entry.other_sequence = sequence_of(&before);
    write_sector(STARTS + entry.number, &entry);
}

static int is_as(uint64_t place, const struct sector *expected) {
    struct sector found = read_sector(place);
    return memcmp(&found, expected, SECTOR) == 0;
}

static void stop_if_another_writes(void) {
    static const struct sector nothing;
    int alone = is_as(STARTS + entry.number, &entry) && is_as(slot_of(entry.nonce), &slot);
    if (alone && entry.number + 1 < MOST_STARTS) alone = is_as(STARTS + entry.number + 1, &nothing);
    if (alone && entry.other_nonce) alone = is_as(slot_of(entry.other_nonce), &before);
    if (alone) return;
    struct sector clash = {.kind = MET, .number = entry.number, .nonce = entry.nonce, .sequence = slot.sequence};
    write_sector(CLASH, &clash);
    printf("CLASH %016llx after %llu writes\n", (unsigned long long)entry.nonce, (unsigned long long)slot.sequence);
    exit(1);
}

int main(int count, char **words) {
    if (count != 3) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    disk = open(words[1], O_RDWR | O_DIRECT | O_SYNC);
    if (disk < 0 || posix_memalign((void **)&buffer, 4096, SECTOR) != 0) {
        perror(words[1]);
        return 1;
    }
    insist("read", 0, move_in);
    if (memcmp(buffer, HEADER, sizeof HEADER - 1) != 0) {
        printf("NO-DISK %s is not a disk for this\n", words[1]);
        return 1;
    }
    take_over();
    printf("DISK-START %016llx start %llu\n", (unsigned long long)entry.nonce, (unsigned long long)entry.number);
    long pause = atol(words[2]), since_said = 0;
    slot = (struct sector){.kind = SLOT, .number = entry.number, .nonce = entry.nonce, .sequence = 1};
    for (write_sector(slot_of(entry.nonce), &slot);; write_sector(slot_of(entry.nonce), &slot)) {
        if ((since_said += pause) >= 1000) {
            printf("HEARTBEAT %016llx %llu\n", (unsigned long long)entry.nonce, (unsigned long long)slot.sequence);
            since_said = 0;
        }
        pause_for(pause);
        stop_if_another_writes();
        slot.sequence++;
    }
}
