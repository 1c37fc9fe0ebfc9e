// Reads a guest's disk, which may be running, and says whether two ever wrote to it at once: see `disk.h`.
//
//     examine IMAGE      prints JSON; ends with 0 if nobody did, with 1 if two did, and with 2 if it cannot be told

#include "disk.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct sector starts[MOST_STARTS], again[MOST_STARTS], slots[SLOT_COUNT];
static int image, clashes;

static void read_sectors(struct sector *sectors, uint64_t place, uint64_t count) {
    char *bytes = (char *)sectors;
    size_t length = count * SECTOR, done = 0;
    memset(bytes, 0, length);
    while (done < length) {
        ssize_t more = pread(image, bytes + done, length - done, place * SECTOR + done);
        if (more < 0) {
            perror("the disk cannot be read");
            exit(2);
        }
        // What lies behind the end was never written.
        if (more == 0) return;
        done += more;
    }
}

static void clash(const char *what, uint64_t nonce) {
    printf("%s{\"what\":\"%s\",\"nonce\":\"%016llx\"}", clashes++ ? "," : "", what, (unsigned long long)nonce);
}

static const struct sector *slot_of_start(const struct sector *start) {
    return &slots[slot_of(start->nonce) - SLOTS];
}

static void judge(int count) {
    for (int number = 0; number + 1 < count; number++) {
        const struct sector *first = &starts[number], *second = &starts[number + 1];
        if (!is_whole(first, ENTRY) || !is_whole(second, ENTRY)) continue;
        if (second->other_nonce != first->nonce) clash("started-at-once", second->nonce);
        else if (second->other_sequence != sequence_of(slot_of_start(first)))
            clash("wrote-after-takeover", first->nonce);
    }
    for (int place = 0; place < SLOT_COUNT; place++) {
        const struct sector *slot = &slots[place];
        if (!is_whole(slot, SLOT)) continue;
        if (slot->number >= (uint64_t)count || starts[slot->number].nonce != slot->nonce)
            clash("wrote-without-an-entry", slot->nonce);
    }
    struct sector met;
    read_sectors(&met, CLASH, 1);
    if (!is_empty(&met)) clash("met-another", met.nonce);
}

int main(int count, char **words) {
    struct sector header;
    image = count == 2 ? open(words[1], O_RDONLY) : -1;
    if (image < 0) {
        fprintf(stderr, "usage: examine IMAGE, a file that can be read\n");
        return 2;
    }
    read_sectors(&header, 0, 1);
    if (memcmp(&header, HEADER, sizeof HEADER - 1) != 0) {
        fprintf(stderr, "%s is not the disk of a guest of the lab\n", words[1]);
        return 2;
    }
    // A start between the two readings would have a slot and no entry.
    do {
        read_sectors(starts, STARTS, MOST_STARTS);
        read_sectors(slots, SLOTS, SLOT_COUNT);
        read_sectors(again, STARTS, MOST_STARTS);
    } while (memcmp(starts, again, sizeof starts) != 0);
    int known = 0;
    while (known < MOST_STARTS && !is_empty(&starts[known])) known++;
    printf("{\"starts\":[");
    for (int number = 0; number < known; number++)
        printf("%s{\"nonce\":\"%016llx\",\"sequence\":%lld}", number ? "," : "",
               (unsigned long long)starts[number].nonce, (long long)sequence_of(slot_of_start(&starts[number])));
    printf("],\"clashes\":[");
    judge(known);
    printf("]}\n");
    return clashes ? 1 : 0;
}
