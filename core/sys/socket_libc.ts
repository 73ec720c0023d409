// Thread: any
// libc's functions about sockets.
import { bindLazily } from "./libc.ts";

export const socketLibc = bindLazily({
  socket: {
    parameters: [
      "i32", /* int domain */
      "i32", /* int type */
      "i32", /* int protocol */
    ],
    result: "i32",
  },
  socketpair: {
    parameters: [
      "i32", /* int domain */
      "i32", /* int type */
      "i32", /* int protocol */
      "buffer", /* int sv[2] */
    ],
    result: "i32",
  },
  connect: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct sockaddr * */
      "u32", /* socklen_t */
    ],
    result: "i32",
  },
  bind: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct sockaddr * */
      "u32", /* socklen_t */
    ],
    result: "i32",
  },
  listen: {
    parameters: ["i32", /* int fd */ "i32" /* int backlog */],
    result: "i32",
  },
  accept4: {
    parameters: [
      "i32", /* int fd */
      "pointer", /* struct sockaddr * */
      "pointer", /* socklen_t * */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  sendmsg: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct msghdr * */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  recvmsg: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* struct msghdr * */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  shutdown: {
    parameters: ["i32", /* int fd */ "i32" /* int how */],
    result: "i32",
  },
});
