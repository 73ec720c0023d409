// Thread: main
// Tries again what fails while a back end is away, more and more seldom.
import { SysError, VhostUserError } from "../errors.ts";

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1000;

/** What the last try failed of. */
export interface Failure {
  /** As a sentence about the back end goes on. */
  readonly text: string;
  readonly isFinal: boolean;
}

export class Retries {
  #pauseMs = FIRST_PAUSE_MS;

  /** After a time without failures. */
  reset(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  /** Has `work` done once it can be, unless what it fails of is final. Null if it was done or `signal` ended this. */
  async run(
    work: () => Promise<void>,
    totalMs: number,
    signal: AbortSignal,
    isFinal: (error: unknown) => boolean = () => false,
  ): Promise<Failure | null> {
    const end = performance.now() + totalMs;
    while (!signal.aborted) {
      await sleep(this.#pauseMs, signal);
      if (signal.aborted) break;
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
      try {
        await work();
        return null;
      } catch (error) {
        const final = isFinal(error);
        if (!final && performance.now() <= end) continue;
        return { text: whatFailed(error), isFinal: final };
      }
    }
    return null;
  }
}

/** What is wrong with a back end, as a sentence about it goes on. */
function whatFailed(error: unknown): string {
  if (error instanceof VhostUserError) return error.message;
  if (error instanceof SysError) return `is not there: ${error.message}`;
  return `cannot be had: ${error}`;
}

/** Ends early when `signal` says so. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
