// Thread: any
// An epoll instance: one thread adds event fds, another waits. Edge-triggered, so that nobody needs to read them.
import { Fd } from "./fd.ts";
import { check, errno, libc } from "./libc.ts";
import {
  EINTR,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLET,
  EPOLLIN,
  EPOLLONESHOT,
} from "./linux.ts";

/** struct epoll_event is packed on x86-64: u32 events, u64 data. */
const EVENT_SIZE = 12;
const MAX_EVENTS = 32;

export class Epoll extends Fd {
  constructor() {
    super(check("epoll_create1", libc.epoll_create1(EPOLL_CLOEXEC)));
  }

  /** Has `waitEpoll` tell `tag` (32 bits) whenever `fd` becomes readable anew. Closing `fd` ends that. */
  add(fd: Fd, tag: number): void {
    this.#control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, tag);
  }

  /** As `add`, for one time, and at once if `fd` is readable already. */
  addOnce(fd: Fd, tag: number): void {
    this.#control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, tag);
  }

  remove(fd: Fd): void {
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  #control(operation: number, fd: Fd, events: number, tag: number): void {
    const event = new DataView(new ArrayBuffer(EVENT_SIZE));
    event.setUint32(0, events >>> 0, true);
    event.setUint32(4, tag, true);
    const bytes = new Uint8Array(event.buffer);
    check("epoll_ctl", libc.epoll_ctl(this.fd, operation, fd.fd, bytes));
  }
}

const events = new Uint8Array(EVENT_SIZE * MAX_EVENTS);
const view = new DataView(events.buffer);

/** Waits up to `timeoutMs` on the epoll fd with this number; calls `onTag` for each event. */
export function waitEpoll(
  fd: number,
  timeoutMs: number,
  onTag: (tag: number) => void,
): void {
  const count = libc.epoll_wait(fd, events, MAX_EVENTS, timeoutMs);
  if (count < 0 && errno() !== EINTR) check("epoll_wait", count);
  for (let i = 0; i < count; i++) {
    onTag(view.getUint32(i * EVENT_SIZE + 4, true));
  }
}

/** Waits without blocking this thread. None when a signal came in between. */
export async function readEpoll(epoll: Fd): Promise<number[]> {
  const bytes = new Uint8Array(new ArrayBuffer(EVENT_SIZE * MAX_EVENTS));
  const count = await libc.epollWaitInPool(epoll.fd, bytes, MAX_EVENTS, -1);
  const events = new DataView(bytes.buffer);
  return Array.from(
    { length: Math.max(count, 0) },
    (_, i) => events.getUint32(i * EVENT_SIZE + 4, true),
  );
}
