// Thread: any
// So many of something a second, and no more.

export class RateLimit {
  readonly perSecond: number;
  #since = 0;
  #taken = 0;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  /** True while this second has some left. */
  take(): boolean {
    const now = performance.now();
    if (now - this.#since >= 1000) {
      this.#since = now;
      this.#taken = 0;
    }
    return ++this.#taken <= this.perSecond;
  }
}
