// Thread: any
// What a child prints, as lines.

/** Characters after which a line is cut, where it is not said. */
const LONGEST = 1000;
/** What is more than so many bytes in so many ms waits: a child that never stops printing waits too. */
const BURST = 256 * 1024;
const PAUSE_MS = 20;

/** Calls `onLine` with each line that is not empty, cut after `longest` characters, until the stream ends. Always reads on, whatever comes. */
export async function eachLine(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
  longest = LONGEST,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  const tell = (line: string) => {
    if (line.trim() !== "") onLine(line.slice(0, longest));
  };
  let burst = 0;
  for await (const bytes of stream) {
    burst += bytes.length;
    if (burst > BURST) {
      burst = 0;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!.slice(0, longest);
    lines.forEach(tell);
  }
  tell(rest);
}
