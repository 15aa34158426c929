// Runs the site for tests: real nginx through the image's own start script, on a free loopback port.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const frontend = fileURLToPath(new URL("..", import.meta.url));

/** Starts nginx before `upstream` (host:port); gives its address, its log so far, and `stop`. */
export async function startSite(upstream) {
  const runDir = await mkdtemp(join(tmpdir(), "frontend-"));
  const port = await freePort();
  // A file, for nginx opens /dev/stdout by name, which the sockets that Node calls pipes do not allow.
  const logFile = join(runDir, "test.log");
  const log = () => readFileSync(logFile, "utf8");
  const output = await open(logFile, "a");
  // Ends with this process, however that ends.
  const nginx = spawn("setpriv", ["--pdeathsig", "TERM", join(frontend, "nginx/start.sh")], {
    env: {
      PATH: `${process.env.PATH}:/usr/sbin`,
      FRONTEND_ROOT: join(frontend, "public"),
      FRONTEND_PORT: String(port),
      PRODUCER_UPSTREAM: upstream,
      RUN_DIR: runDir,
    },
    stdio: ["ignore", output.fd, output.fd],
  });
  await output.close();
  const ended = once(nginx, "exit");

  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (nginx.exitCode !== null) throw new Error(`nginx ended with ${nginx.exitCode}:\n${log()}`);
    return (await fetch(`${url}/nginx-health`)).ok;
  });
  return {
    url,
    port,
    log,
    async stop() {
      nginx.kill("SIGTERM");
      await ended;
      await rm(runDir, { recursive: true, force: true });
    },
  };
}

/** Asks until the answer is truthy; a refused connection counts as "not yet". */
export async function until(question, deadline = Date.now() + 10_000) {
  for (;;) {
    const answer = await question().catch((error) => {
      if (error instanceof TypeError && Date.now() < deadline) return false;
      throw error;
    });
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error("the condition was not met in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
