// Thread: any
// What a child prints, as lines.

/** Cut after this many characters. */
const LONGEST = 1000;

/** Calls `onLine` with each line that is not empty, until the stream ends. Always reads on, so that nobody waits. */
export async function eachLine(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  const tell = (line: string) => {
    if (line.trim() !== "") onLine(line.slice(0, LONGEST));
  };
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!.slice(0, LONGEST);
    lines.forEach(tell);
  }
  tell(rest);
}
