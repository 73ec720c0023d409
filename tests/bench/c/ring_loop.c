/* What a chain costs a device in C: pop and add used, with the checks that Paddock's queues make.
 *
 *   cc -O2 -o ring_loop ring_loop.c
 *   ring_loop split|packed 1|3|table CHAINS
 *
 * The driver of ../ring_driver.ts offers a batch, untimed; the device takes each chain and gives it
 * back, timed; the driver sums up what it got. Prints one line of JSON: the chains, the device's ns a
 * chain in the median batch, and the driver's sum, which is the same wherever the same was done. */
#include <err.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define GIB (1ul << 30)
#define HIGH (4 * GIB)
enum { SIZE = 256, DESC = 0x100000, DRIVER = 0x110000, DEVICE = 0x120000, TABLES = 0x200000 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 1 << 7, USED = 1 << 15 };
enum { PARTS = 3 };
static const uint32_t LENGTHS[PARTS] = { 16, 512, 1 };

/* The last two fields in a split ring and in a packed one. */
struct desc {
  uint64_t addr;
  uint32_t len;
  union { uint16_t flags, id; };
  union { uint16_t next, packed_flags; };
};
struct avail { uint16_t flags; _Atomic uint16_t idx, ring[SIZE]; };
struct used { uint16_t flags; _Atomic uint16_t idx; struct { uint32_t id, len; } ring[SIZE]; };

static uint8_t *ram;
static const struct { uint64_t gpa, size, offset; } regions[] = {
  { 0, 3 * GIB, 0 }, { HIGH, GIB, 3 * GIB },
};

static struct desc *descs(uint64_t offset) { return (struct desc *)(ram + offset); }
static struct avail *avail(void) { return (struct avail *)(ram + DRIVER); }
static struct used *used(void) { return (struct used *)(ram + DEVICE); }
static _Atomic uint16_t *packed_flags(int at) { return (_Atomic uint16_t *)&descs(DESC)[at].packed_flags; }

/* ---- Chains ---- */

struct chain {
  uint32_t head, slots;
  bool in_flight;
  uint32_t count, readable;
  uint64_t readable_bytes, writable_bytes;
  struct { uint64_t offset; uint32_t len; } segments[SIZE];
};
static struct chain chains[SIZE];

static int64_t translate(uint64_t gpa, uint64_t len) {
  for (int i = 0; i < 2; i++) {
    uint64_t at = gpa - regions[i].gpa;
    if (gpa >= regions[i].gpa && len <= regions[i].size && at <= regions[i].size - len) {
      return at + regions[i].offset;
    }
  }
  return -1;
}

static struct chain *begin(uint32_t head) {
  if (head >= SIZE) errx(1, "head is not below the queue's size");
  struct chain *chain = &chains[head];
  if (chain->in_flight) errx(1, "head is available twice");
  chain->head = head, chain->in_flight = true;
  chain->count = chain->readable = chain->readable_bytes = chain->writable_bytes = 0;
  return chain;
}

static void add(struct chain *chain, const struct desc *desc, uint16_t flags) {
  uint32_t len = desc->len;
  int64_t offset = translate(desc->addr, len);
  if (offset < 0) errx(1, "buffer is not in RAM");
  if (len == 0) return;
  if (!(flags & WRITE) && chain->count > chain->readable) errx(1, "readable after writable");
  if (chain->readable_bytes + chain->writable_bytes + len > ~0u) errx(1, "chain is too long");
  chain->segments[chain->count].offset = offset;
  chain->segments[chain->count++].len = len;
  if (flags & WRITE) chain->writable_bytes += len;
  else chain->readable++, chain->readable_bytes += len;
}

static const struct desc *table_of(const struct desc *desc, uint32_t *entries) {
  uint32_t len = desc->len;
  int64_t table = translate(desc->addr, len);
  *entries = len / sizeof *desc;
  if (!len || len % sizeof *desc || *entries > SIZE) errx(1, "bad length of an indirect table");
  if (table < 0 || table % 4) errx(1, "indirect table is not in RAM");
  return descs(table);
}

/* ---- The device's side of a split ring ---- */

static uint16_t last_avail, next_used;

static void walk(struct chain *chain, const struct desc *table, uint32_t entries, uint16_t index) {
  for (uint32_t steps = 0;; steps++) {
    if (steps == entries) errx(1, "chain loops");
    const struct desc *desc = &table[index];
    uint16_t flags = desc->flags;
    if (flags & INDIRECT) {
      if (table != descs(DESC) || flags & NEXT) errx(1, "indirect descriptor out of place");
      table = table_of(desc, &entries), index = 0, steps = -1;
      continue;
    }
    add(chain, desc, flags);
    if (!(flags & NEXT)) return;
    if ((index = desc->next) >= entries) errx(1, "next is not below the table's size");
  }
}

static struct chain *split_pop(void) {
  uint16_t available = atomic_load(&avail()->idx) - last_avail;
  if (available == 0) return 0;
  if (available > SIZE) errx(1, "avail idx is too far ahead");
  uint32_t head = atomic_load(&avail()->ring[last_avail++ % SIZE]);
  struct chain *chain = begin(head);
  walk(chain, descs(DESC), SIZE, head);
  return chain;
}

static void split_add_used(struct chain *chain, uint32_t written) {
  used()->ring[next_used % SIZE].id = chain->head;
  used()->ring[next_used % SIZE].len = written;
  chain->in_flight = false;
  atomic_store(&used()->idx, ++next_used);
}

/* ---- The device's side of a packed ring ---- */

static uint32_t next_avail, next_write, held;
static bool avail_wrap = true, used_wrap = true;

static uint32_t count_list(uint16_t flags) {
  for (uint32_t count = 1; count <= SIZE; count++) {
    if (!(flags & NEXT)) return count;
    flags = atomic_load(packed_flags((next_avail + count) % SIZE));
  }
  errx(1, "chain does not end");
}

static struct chain *packed_pop(void) {
  uint16_t flags = atomic_load(packed_flags(next_avail));
  if (!!(flags & AVAIL) != avail_wrap || !!(flags & USED) == avail_wrap) return 0;
  uint32_t count = count_list(flags);
  if (held + count > SIZE) errx(1, "the device holds some of the descriptors");
  struct chain *chain = begin(descs(DESC)[(next_avail + count - 1) % SIZE].id);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t index = (next_avail + i) % SIZE;
    const struct desc *desc = &descs(DESC)[index];
    if (i > 0) flags = atomic_load(packed_flags(index));
    if (flags & INDIRECT) {
      if (count > 1) errx(1, "indirect descriptor in a list");
      uint32_t entries;
      const struct desc *table = table_of(desc, &entries);
      for (uint32_t j = 0; j < entries; j++) {
        if (table[j].packed_flags & INDIRECT) errx(1, "indirect descriptor in a table");
        add(chain, &table[j], table[j].packed_flags);
      }
    } else {
      add(chain, desc, flags);
    }
  }
  chain->slots = count, held += count;
  if ((next_avail += count) >= SIZE) next_avail -= SIZE, avail_wrap = !avail_wrap;
  return chain;
}

static void packed_add_used(struct chain *chain, uint32_t written) {
  struct desc *desc = &descs(DESC)[next_write];
  desc->len = written;
  desc->id = chain->head;
  chain->in_flight = false, held -= chain->slots;
  uint16_t wrap = used_wrap ? AVAIL | USED : 0;
  atomic_store(packed_flags(next_write), wrap | (written ? WRITE : 0));
  if ((next_write += chain->slots) >= SIZE) next_write -= SIZE, used_wrap = !used_wrap;
}

/* ---- The driver ---- */

static int parts = 1, slots = 1, batch = SIZE;
static bool table, wrap = true;
static uint16_t offered, seen;
static uint64_t sum;

/* Descriptor `part` of chain `i`, which a packed ring numbers in `id` and a split one links by `next`. */
static struct desc part_of(int i, int part, bool packed, uint16_t next) {
  uint16_t flags = (part + 1 < parts ? NEXT : 0) | (part > 0 || parts == 1 ? WRITE : 0);
  uint64_t addr = HIGH + (uint64_t)(i * PARTS + part) * 4096;
  uint32_t len = LENGTHS[parts == 1 ? 1 : part];
  return (struct desc){ addr, len, { packed ? i : flags }, { packed ? flags : next } };
}

static struct desc table_desc(int i, bool packed) {
  uint16_t last[] = { packed ? i : INDIRECT, packed ? INDIRECT : 0 };
  return (struct desc){ TABLES + i * 64, 16 * parts, { last[0] }, { last[1] } };
}

static void split_prepare(void) {
  for (int i = 0; i < batch; i++) {
    struct desc *to = table ? descs(TABLES + i * 64) : &descs(DESC)[i * slots];
    int base = table ? 0 : i * slots;
    for (int part = 0; part < parts; part++) to[part] = part_of(i, part, false, base + part + 1);
    if (table) descs(DESC)[i] = table_desc(i, false);
  }
}

static void split_offer(void) {
  for (int i = 0; i < batch; i++) avail()->ring[(offered + i) % SIZE] = i * slots;
  atomic_store(&avail()->idx, offered += batch);
}

static void split_collect(void) {
  for (uint16_t end = atomic_load(&used()->idx); seen != end; seen++) {
    sum += used()->ring[seen % SIZE].id + used()->ring[seen % SIZE].len;
  }
}

static void packed_prepare(void) {
  for (int i = 0; table && i < batch; i++) {
    for (int part = 0; part < parts; part++) descs(TABLES + i * 64)[part] = part_of(i, part, true, 0);
  }
}

static void packed_offer(void) {
  for (int i = 0; i < batch; i++) {
    for (int part = 0; part < slots; part++) {
      int at = offered + part;
      bool mine = at < SIZE ? wrap : !wrap;
      struct desc desc = table ? table_desc(i, true) : part_of(i, part, true, 0);
      desc.packed_flags |= mine ? AVAIL : USED;
      descs(DESC)[at % SIZE] = desc;
    }
    if ((offered += slots) >= SIZE) offered -= SIZE, wrap = !wrap;
  }
  atomic_thread_fence(memory_order_seq_cst);
}

static void packed_collect(void) {
  for (int i = 0; i < batch; i++) {
    sum += descs(DESC)[seen].id + descs(DESC)[seen].len;
    seen = (seen + slots) % SIZE;
  }
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* Times the device alone: `batch` chains from the first pop to the one that finds nothing. */
static uint64_t device(bool packed) {
  uint64_t start = now();
  int done = 0;
  if (packed) {
    for (struct chain *chain; (chain = packed_pop()); done++) {
      packed_add_used(chain, chain->writable_bytes);
    }
  } else {
    for (struct chain *chain; (chain = split_pop()); done++) {
      split_add_used(chain, chain->writable_bytes);
    }
  }
  if (done != batch) errx(1, "%d chains of %d came", done, batch);
  return now() - start;
}

static int compare(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}

int main(int argc, char **argv) {
  if (argc != 4) errx(2, "usage: ring_loop split|packed 1|3|table CHAINS");
  bool packed = !strcmp(argv[1], "packed");
  table = !strcmp(argv[2], "table");
  if (strcmp(argv[2], "1")) parts = PARTS;
  slots = table ? 1 : parts;
  batch = SIZE / slots;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  ram = mmap(0, 4 * GIB, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (ram == MAP_FAILED) err(1, "mmap");
  uint64_t total = strtoull(argv[3], 0, 10), done = 0, batches = 0;
  uint64_t *times = calloc(total / batch + 1, sizeof *times);
  if (!times) err(1, "calloc");
  if (packed) packed_prepare();
  else split_prepare();
  for (; done < total; done += batch) {
    if (packed) packed_offer();
    else split_offer();
    times[batches++] = device(packed);
    if (packed) packed_collect();
    else split_collect();
  }
  qsort(times, batches, sizeof *times, compare);
  double ns = batches ? (double)times[batches / 2] / batch : 0;
  printf("{\"chains\":%lu,\"ns\":%.2f,\"sum\":%lu}\n", done, ns, sum);
}
