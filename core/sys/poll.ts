// Thread: any
// What a descriptor is ready for at this moment.
import type { Fd } from "./fd.ts";
import { libc } from "./libc.ts";
import { struct } from "./struct.ts";

const Pollfd = struct({ fd: "i32", events: "u16", revents: "u16" });

/** Those of `events` that are there, and POLLERR and POLLHUP; does not wait. */
export function pollNow({ fd }: Pick<Fd, "fd">, events: number): number {
  const poll = Object.assign(new Pollfd(), { fd, events });
  libc.poll(poll.bytes, 1, 0);
  return poll.revents;
}
