// Thread: main
// Standard input and output for one user alone. Any worker of a process may read and write those that Deno gives it.
import { Fd } from "./fd.ts";
import { readableOf, writableOf } from "./fd_stream.ts";
import { check, libc } from "./libc.ts";
import { F_DUPFD_CLOEXEC, O_RDONLY } from "./linux.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/**
 * Stdin and stdout as they are. From now on, nothing is to be read from Deno.stdin, and what is written to Deno.stdout
 * goes where stderr goes.
 */
export function takeStandardStreams(): {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
} {
  const [input, output] = [STDIN, STDOUT].map((fd) =>
    new Fd(check("fcntl F_DUPFD_CLOEXEC", libc.fcntl(fd, F_DUPFD_CLOEXEC, 3)))
  );
  using nothing = Fd.open("/dev/null", O_RDONLY);
  check("dup2", libc.dup2(nothing.fd, STDIN));
  check("dup2", libc.dup2(STDERR, STDOUT));
  return { readable: readableOf(input!), writable: writableOf(output!) };
}
