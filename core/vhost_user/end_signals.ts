// Thread: main
// SIGTERM and SIGINT as the wish that a process ends by itself.

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Takes the two signals, from its making on. */
export class EndSignals implements Disposable {
  readonly #wish = new AbortController();
  readonly #listener = () => this.#wish.abort();

  constructor() {
    for (const signal of SIGNALS) {
      Deno.addSignalListener(signal, this.#listener);
    }
  }

  /** Has `end` called when one comes, or at once if one came. */
  act(end: () => void): void {
    const { signal } = this.#wish;
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) {
      Deno.removeSignalListener(signal, this.#listener);
    }
  }
}
