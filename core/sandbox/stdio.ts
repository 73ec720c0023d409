// Thread: main
// The three standard fds of a child, and streams for those that are piped.
import { O_RDWR } from "../sys/linux.ts";
import { Fd } from "../sys/fd.ts";
import { pipe } from "./child.ts";

/** What a standard fd of a child is: ours, /dev/null, a pipe that is a stream here, or the fd of this number. */
export type Stdio = "inherit" | "null" | "piped" | number;

/** The child's fds 0, 1 and 2, to give back once it has them, and our ends of pipes. */
export interface StdioFds {
  readonly child: readonly number[];
  readonly ours: readonly (Fd | null)[];
}

/** Opens what has to be opened; `stack` gets the child's side. */
export function openStdio(
  choices: readonly [Stdio, Stdio, Stdio],
  stack: DisposableStack,
): StdioFds {
  const child: number[] = [];
  const ours = choices.map((choice, index): Fd | null => {
    if (choice === "inherit") child.push(index);
    else if (choice === "null") {
      child.push(stack.use(Fd.open("/dev/null", O_RDWR)).fd);
    } else if (choice === "piped") {
      const { read, write } = pipe();
      child.push(stack.use(index === 0 ? read : write).fd);
      return index === 0 ? write : read;
    } else child.push(choice);
    return null;
  });
  return { child, ours };
}
