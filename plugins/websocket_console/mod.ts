// A console (virtio-v1.3 §5.3) that is a WebSocket on loopback: any number of clients see what the guest prints, and
// each may type.
import { defineDevice, type PulledQueue } from "@paddock/paddock/plugin";

const KiB = 1024;
/** The last output, for a client that comes late. */
const BACKLOG = 64 * KiB;
/** A client with this much output still to take is dropped: the guest waits for nobody. */
const MOST_UNREAD = 1024 * KiB;
/** A client that types when the guest has this much still to read is dropped: what others typed stays whole. */
const MOST_TYPED = 256 * KiB;

export default defineDevice({
  id: 3, // console: Linux has it as /dev/hvc0, or the next number that is free
  queues: { receiveq: 64, transmitq: 64 },
  options: {
    listen: {
      type: "string",
      pattern: "127\\.0\\.0\\.1:[0-9]{1,5}",
      default: "127.0.0.1:8080",
      description: 'where to listen, such as "127.0.0.1:8080"',
    },
    origin: {
      type: "string",
      optional: true,
      description: 'whose pages may connect, such as "http://localhost:3000"',
    },
  },
  permissions: { net: [{ option: "listen" }] },
  create({ options, queue, log }) {
    const clients = new Set<WebSocket>();
    const typed: Uint8Array[] = [];
    let typedBytes = 0;
    const recent = new Uint8Array(2 * BACKLOG);
    let recentEnd = 0;

    /** Moves what was typed into the buffers that the driver has for it. */
    function deliver(receiveq: PulledQueue) {
      while (typed.length > 0) {
        const chain = receiveq.pop();
        if (chain === null) break;
        const written = chain.writable.write(typed[0]!);
        receiveq.addUsed(chain, written);
        typedBytes -= written;
        typed[0] = typed[0]!.subarray(written);
        if (typed[0].length === 0) typed.shift();
      }
      receiveq.flush();
    }

    function type(client: WebSocket, data: string | ArrayBuffer) {
      const bytes = typeof data === "string"
        ? new TextEncoder().encode(data)
        : new Uint8Array(data);
      if (bytes.length === 0) return;
      if (typedBytes + bytes.length > MOST_TYPED) {
        return drop(client, "the guest does not read what is typed");
      }
      typedBytes += bytes.length;
      typed.push(bytes);
      // Null while no driver is there; `available` is called when one comes.
      const receiveq = queue("receiveq");
      if (receiveq !== null) deliver(receiveq);
    }

    function print(bytes: Uint8Array<ArrayBuffer>) {
      if (recentEnd + bytes.length > recent.length) {
        recent.copyWithin(0, recentEnd - BACKLOG, recentEnd);
        recentEnd = BACKLOG;
      }
      recent.set(bytes, recentEnd);
      recentEnd += bytes.length;
      for (const client of clients) {
        if (client.bufferedAmount <= MOST_UNREAD) client.send(bytes);
        else drop(client, "it does not take the output");
      }
    }

    function drop(client: WebSocket, why: string) {
      clients.delete(client);
      client.close(1008, why);
      log(`Dropped a client: ${why}`);
    }

    function welcome(client: WebSocket) {
      client.binaryType = "arraybuffer";
      client.onopen = () => {
        clients.add(client);
        client.send(recent.slice(Math.max(0, recentEnd - BACKLOG), recentEnd));
      };
      client.onmessage = ({ data }) => {
        if (clients.has(client)) type(client, data);
      };
      client.onclose = () => clients.delete(client);
    }

    const [hostname = "", port] = options.listen.split(":");
    const server = Deno.serve({
      hostname,
      port: Number(port),
      onListen: () => log(`Connect to ws://${options.listen}`),
    }, (request) => {
      // Any web page may connect to any port of this host: its browser says whose page it is.
      const origin = request.headers.get("origin");
      if (origin !== null && origin !== options.origin) {
        return new Response(`origin is not ${origin}\n`, { status: 403 });
      }
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
        return new Response("This is a WebSocket\n", { status: 426 });
      }
      const { socket, response } = Deno.upgradeWebSocket(request);
      welcome(socket);
      return response;
    });

    return {
      queues: {
        receiveq: { available: deliver },
        transmitq({ readable }) {
          while (readable.remaining > 0) {
            const bytes = new Uint8Array(Math.min(readable.remaining, BACKLOG));
            readable.read(bytes);
            print(bytes);
          }
          return 0;
        },
      },
      close: () => void server.shutdown(),
    };
  },
});
