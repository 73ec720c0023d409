// Thread: any
// An epoll instance: one thread adds event fds, another waits. Edge-triggered, so that nobody needs to read them.
import { Fd } from "./fd.ts";
import {
  check,
  EINTR,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLLET,
  EPOLLIN,
  errno,
  libc,
} from "./libc.ts";

/** struct epoll_event is packed on x86-64: u32 events, u64 data. */
const EVENT_SIZE = 12;
const MAX_EVENTS = 32;

export class Epoll extends Fd {
  constructor() {
    super(check("epoll_create1", libc.epoll_create1(EPOLL_CLOEXEC)));
  }

  /** Has `waitEpoll` tell `tag` (32 bits) whenever `fd` becomes readable anew. Closing `fd` ends that. */
  add(fd: Fd, tag: number): void {
    const event = new DataView(new ArrayBuffer(EVENT_SIZE));
    event.setUint32(0, (EPOLLIN | EPOLLET) >>> 0, true);
    event.setUint32(4, tag, true);
    const bytes = new Uint8Array(event.buffer);
    check("epoll_ctl", libc.epoll_ctl(this.fd, EPOLL_CTL_ADD, fd.fd, bytes));
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
