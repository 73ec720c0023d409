// Thread: main
// The error of a command line that means nothing.

/** Arguments that mean nothing; the CLI prints the message and exits with status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
