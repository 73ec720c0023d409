/* A driver for modern virtio-mmio devices of which one queue is used, one request at a time. */
#pragma once
#include "guest.h"

enum { ID_BLOCK = 2, ID_CONSOLE = 3, ID_ENTROPY = 4 };
#define VIRTIO_BLK_F_RO (1ul << 5)
#define VIRTIO_F_VERSION_1 (1ul << 32)
#define QUEUE_SIZE 4

/* virtio-v1.3 §2.7.5, §2.7.6, §2.7.8: the three parts of a split virtqueue. */
struct virtq_desc {
  u64 addr;
  u32 len;
  u16 flags, next;
};
struct virtq_avail {
  u16 flags, idx, ring[QUEUE_SIZE];
};
struct virtq_used_elem {
  u32 id, len;
};
struct virtq_used {
  u16 flags, idx;
  struct virtq_used_elem ring[QUEUE_SIZE];
};

struct device {
  u64 base;
  u32 id;
  u64 features; /* as negotiated */
  u16 queue, size, next;
  struct virtq_desc desc[QUEUE_SIZE] __attribute__((aligned(16)));
  volatile struct virtq_avail avail __attribute__((aligned(2)));
  volatile struct virtq_used used __attribute__((aligned(4)));
};

struct buffer {
  void *data;
  u32 len;
  enum { DEVICE_READS, DEVICE_WRITES } use;
};

/* Looks at one window: 0 where there is none, else 1, with device->id 0 for an empty one. */
int virtio_probe(struct device *device, u64 base);
/* Takes the device to DRIVER_OK with VERSION_1, those of `features` on offer, and this queue. */
void virtio_start(struct device *device, u64 features, u16 queue);
/* Sends one chain and waits until it is used; returns how many bytes the device wrote. */
u32 virtio_transfer(struct device *device, const struct buffer *buffers, u16 count);
/* Waits until the device wants a kick for the next chain. */
void virtio_wait_idle(struct device *device);
/* A 64-bit field of the configuration space. */
u64 virtio_config64(struct device *device, u32 offset);
/* Gives the device up (§2.1.1 FAILED), then fail(). */
_Noreturn void virtio_fail(struct device *device, const char *what);
