// A terminal on a WebSocket: `deno run --allow-net client.ts ws://127.0.0.1:8080`. Ctrl-] leaves.
const [url = "ws://127.0.0.1:8080"] = Deno.args;
const socket = new WebSocket(url);
const stdout = Deno.stdout.writable.getWriter();
const say = (text: string) => stdout.write(new TextEncoder().encode(text));

socket.binaryType = "arraybuffer";
socket.onmessage = ({ data }) => stdout.write(new Uint8Array(data));
socket.onclose = async ({ reason }) => {
  await say(`\r\nThe connection to ${url} is closed. ${reason}\r\n`);
  Deno.exit();
};
await new Promise((open) => socket.onopen = open);

if (Deno.stdin.isTerminal()) Deno.stdin.setRaw(true);
for await (const bytes of Deno.stdin.readable) {
  if (bytes.includes(0x1d)) break;
  socket.send(bytes);
}
socket.close();
