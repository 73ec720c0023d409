// Thread: any
// What main and the kick worker call an eventfd: the tag of its epoll events.

/** What an eventfd says: a kick of the driver, or of a back end a call or that it gave a queue up. */
export const KICK = 0;
export const CALL = 1;
export const ERROR = 2;

/** A kind, a device and its queue in one number. */
export const eventTag = (kind: number, device: number, queue: number): number =>
  (kind << 16) | (device << 8) | queue;
export const kickTag = (device: number, queue: number): number =>
  eventTag(KICK, device, queue);
export const kindOf = (tag: number): number => tag >>> 16;
export const deviceOf = (tag: number): number => (tag >>> 8) & 0xff;
export const queueOf = (tag: number): number => tag & 0xff;

/** Ends the kick worker. */
export const CLOSE_TAG = 0xffff_ffff;
