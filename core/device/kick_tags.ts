// Thread: any
// What main and the kick worker call an ioeventfd: the tag of its epoll events.

/** A device and its queue in one number. */
export const kickTag = (device: number, queue: number): number =>
  (device << 8) | queue;
export const deviceOf = (tag: number): number => tag >>> 8;
export const queueOf = (tag: number): number => tag & 0xff;

/** Ends the kick worker. */
export const CLOSE_TAG = 0xffff_ffff;
