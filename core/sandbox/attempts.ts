// Thread: main
// What a closed process tried and was not granted: each attempt is told once, and not too many of them.
import { RateLimit } from "../sys/rate_limit.ts";

/** Attempts that are told: in a second, and of different kinds in the life of a process. */
const MAX_LINES = 100;
const MAX_KINDS = 200;

export class Attempts {
  readonly #onRefused: (attempt: string) => void;
  readonly #told = new Set<string>();
  readonly #lines = new RateLimit(MAX_LINES);

  constructor(onRefused: (attempt: string) => void) {
    this.#onRefused = onRefused;
  }

  /** As {@linkcode attemptOf} says it. */
  tell(attempt: string): void {
    if (this.#told.has(attempt) || this.#told.size > MAX_KINDS) return;
    if (!this.#lines.take()) return;
    this.#told.add(attempt);
    this.#onRefused(
      this.#told.size > MAX_KINDS
        ? `tried over ${MAX_KINDS} different things that are not granted; no more of them are told`
        : attempt,
    );
  }
}

/** `what` is Deno's name of a permission, or a system call's; `value` what it was asked for. */
export function attemptOf(what: string, value: string | null): string {
  const of = value === null ? "" : ` of ${value}`;
  return `tried ${what}${of}, which is not granted`;
}
