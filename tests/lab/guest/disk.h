// The disk of a guest of the lab, and why it tells whether two ever wrote to it at once, without any lock or clock.
//
// In sectors of 512 bytes:
//
//     0                the header
//     STARTS…          an entry for each start of the guest, in order
//     CLASH            what a writer says that meets another one
//     SLOTS…           one slot for each start, at a place that its nonce gives: there it alone writes, in place
//
// A start reads the last entry and that one's slot, writes its own entry, which says what it saw there, and then writes
// to its slot for ever, a sequence number that grows. So, whoever is frozen or killed whenever:
//
// - A writer that writes after it was followed is found: its slot is not as its successor's entry says.
// - Two that start at once are found: both take the same entry, one of them loses it, and has a slot without an entry.
// - Who is killed before its first write has written nothing, and who runs alone is never accused.
//
// Beside that a writer looks before each write whether its entry is still its own and still the last, and whether its
// slot and its predecessor's are as it left them; if not, it says so in the sector CLASH and writes no more.

#include <stdint.h>
#include <string.h>

enum { SECTOR = 512, STARTS = 8, MOST_STARTS = 1016, CLASH = 1024, SLOTS = 4096, SLOT_COUNT = 61440 };

static const char HEADER[] = "holdfast lab disk 1\n";

enum kind { ENTRY = 1, SLOT = 2, MET = 3 };

// What was read of a slot: its sequence, which begins at 1, or one of these.
static const uint64_t EMPTY = 0, TORN = UINT64_MAX;

struct sector {
    uint32_t checksum;
    uint32_t kind;
    // Which start of the guest, from 0, and its random name.
    uint64_t number, nonce;
    // Of a slot: how often it was written.
    uint64_t sequence;
    // Of an entry: the start before, and what its slot said. Of a clash: the other one, as far as it is known.
    uint64_t other_nonce, other_sequence;
    uint8_t zero[SECTOR - 48];
};

_Static_assert(sizeof(struct sector) == SECTOR, "a sector is a sector");

static inline uint32_t checksum(const struct sector *sector) {
    uint32_t sum = 0xffffffff;
    for (const uint8_t *byte = (const uint8_t *)&sector->kind; byte < (const uint8_t *)(sector + 1); byte++) {
        sum ^= *byte;
        for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
    }
    return ~sum;
}

static inline int is_empty(const struct sector *sector) {
    static const struct sector zero;
    return memcmp(sector, &zero, SECTOR) == 0;
}

static inline int is_whole(const struct sector *sector, enum kind kind) {
    return !is_empty(sector) && sector->checksum == checksum(sector) && sector->kind == kind;
}

static inline uint64_t sequence_of(const struct sector *slot) {
    return is_empty(slot) ? EMPTY : is_whole(slot, SLOT) ? slot->sequence : TORN;
}

static inline uint64_t slot_of(uint64_t nonce) { return SLOTS + nonce % SLOT_COUNT; }
