// The smallest plugin: an entropy device whose every byte is the throw of a die. Do not use it for keys.
import { defineDevice } from "@paddock/paddock/plugin";

const throwDie = () => 1 + Math.floor(Math.random() * 6);

export default defineDevice({
  id: 4, // entropy: Linux reads it as /dev/hwrng
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq: ({ writable }) =>
        writable.write(Uint8Array.from({ length: 16 }, throwDie)),
    },
  }),
});
