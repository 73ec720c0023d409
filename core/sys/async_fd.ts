// Thread: any
// A non-blocking descriptor whose reads wait, without blocking the thread, until something comes or it is closed.
import type { Fd } from "./fd.ts";
import { type Wait, waitReadable } from "./readiness.ts";

/** Owns `fd`. */
export class AsyncFd<Owned extends Fd = Fd> implements Disposable {
  readonly fd: Owned;
  #wait: Wait | null = null;
  #closed = false;

  constructor(fd: Owned) {
    this.fd = fd;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * What `take` makes of the descriptor, as soon as that is not null: it is called at once, and again whenever there is
   * something to read. Null after `close`. One at a time.
   */
  async next<T>(take: (fd: Owned) => T | null): Promise<T | null> {
    while (!this.#closed) {
      const taken = take(this.fd);
      if (taken !== null) return taken;
      this.#wait = waitReadable(this.fd);
      await this.#wait.ready;
      this.#wait = null;
    }
    return null;
  }

  /** Ends a pending `next` too. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wait?.cancel();
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
