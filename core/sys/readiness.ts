// Thread: any
// Waits for descriptors without blocking the thread: however many, with one call in Deno's blocking pool of 32 threads.
import { Epoll, readEpoll } from "./epoll.ts";
import { EventFd, type Fd, signalEventFd } from "./fd.ts";
import { nextTask } from "./next_task.ts";

/** Tag of the eventfd that ends the call when nobody waits any more. */
const WAKE_TAG = 0;
const MAX_TAG = 0xffff_ffff;

/** Opened with the first wait, closed after the last: a process that waits for nothing can end. */
interface Waiting {
  readonly epoll: Epoll;
  readonly wake: EventFd;
  readonly tags: Map<number, { readonly fd: Fd; resolve(): void }>;
}

let waiting: Waiting | null = null;
let nextTag = 1;

/** A wait that was begun. */
export interface Wait {
  /** Resolves when the descriptor is readable or hung up, and after `cancel`. */
  readonly ready: Promise<void>;
  /** To be called before the descriptor is closed. */
  cancel(): void;
}

/** Waits for `fd` to be readable, one at a time. */
export function waitReadable(fd: Fd): Wait {
  const { epoll, wake, tags } = waiting ??= open();
  const { promise, resolve } = Promise.withResolvers<void>();
  const tag = nextTag;
  nextTag = nextTag === MAX_TAG ? 1 : nextTag + 1;
  epoll.addOnce(fd, tag);
  tags.set(tag, { fd, resolve });
  const cancel = () => {
    if (!tags.delete(tag)) return;
    epoll.remove(fd);
    if (tags.size === 0) signalEventFd(wake.fd);
    resolve();
  };
  return { ready: promise, cancel };
}

function open(): Waiting {
  const opened: Waiting = {
    epoll: new Epoll(),
    wake: new EventFd(),
    tags: new Map(),
  };
  opened.epoll.add(opened.wake, WAKE_TAG);
  serve(opened);
  return opened;
}

async function serve({ epoll, wake, tags }: Waiting): Promise<void> {
  do {
    for (const tag of await readEpoll(epoll)) {
      const wait = tags.get(tag);
      if (wait === undefined) continue;
      tags.delete(tag);
      epoll.remove(wait.fd);
      wait.resolve();
    }
    // Whoever was told waits again, mostly.
    await nextTask();
  } while (tags.size > 0);
  waiting = null;
  wake.close();
  epoll.close();
}
