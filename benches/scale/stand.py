"""What a scale run stands on: a folder, one upstream, gateways with one core each, wrk."""

import dataclasses
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import time

from shared import cpu_seconds, free_port, nginx, reap, resident, wait

PROXY_CPU, LOAD_CPU = "0", "1"
CONNECTIONS = 64
SECRET = "a-secret-of-the-scale-runs-0123456789-abcdefgh"


@dataclasses.dataclass
class Gateway:
    """One that runs, and what was measured of it."""

    name: str
    port: int
    process: subprocess.Popen
    output: pathlib.Path
    #: From its start until it listens, in seconds.
    start: float
    cpu: list[float] = dataclasses.field(default_factory=list)
    rate: list[float] = dataclasses.field(default_factory=list)

    def memory(self) -> float:
        """Resident, in MiB."""
        return resident(self.process.pid)


class Stand:
    def __init__(self, folder: pathlib.Path, binary: pathlib.Path):
        self.folder, self.binary = folder, binary
        self.running: list[subprocess.Popen] = []
        self.upstream = free_port()
        conf = folder / "upstream.conf"
        conf.write_text(nginx(folder / "upstream.pid", f"""
            server {{ listen 127.0.0.1:{self.upstream}; keepalive_requests 1000000000; keepalive_timeout 600s;
                location / {{ return 200 "ok\\n"; }} }}""", "access_log off;"))
        process, output = self.spawn(["nginx", "-c", conf], LOAD_CPU, "upstream")
        wait(self.upstream, output, process)

    def spawn(self, command: list, cpu: str, name: str, env: dict[str, str] | None = None) -> tuple[subprocess.Popen, pathlib.Path]:
        output = self.folder / f"{name}.out"
        with output.open("wb") as log:
            process = subprocess.Popen(["taskset", "-c", cpu, *map(str, command)], stdout=log, stderr=log,
                                       env={**os.environ, **(env or {})}, cwd=self.folder, start_new_session=True)
        self.running.append(process)
        return process, output

    def gateway(self, name: str, sections: str, env: dict[str, str] | None = None, audit: str = "/dev/null") -> Gateway:
        """Starts one; `sections` are those of its file that are not the same for all."""
        port, admin = free_port(), free_port()
        path = self.folder / f"{name}.yaml"
        path.write_text(f"""workers: 1
listeners: [ {{ address: "127.0.0.1:{port}" }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
credentials: [ {{ bearer: {{ forward: keep }} }} ]
upstreams: [ {{ name: app, servers: ["http://127.0.0.1:{self.upstream}"], timeouts: {{ pool_idle: 60s }} }} ]
drain: {{ delay: 0s, timeout: 1s }}
audit: {{ sink: {{ file: {audit} }} }}
{sections}""")
        began = time.monotonic()
        process, output = self.spawn([self.binary, "serve", "--config", path], PROXY_CPU, name, {"SCALE_SECRET": SECRET, **(env or {})})
        wait(port, output, process, 120)
        return Gateway(name, port, process, output, time.monotonic() - began)

    def requests(self, name: str, lines: list[tuple[str, dict[str, str]]]) -> pathlib.Path:
        """A wrk script that sends these paths with these fields in turn."""
        data = self.folder / f"{name}.requests"
        with data.open("w") as file:
            file.writelines(f"{path}\t{json.dumps(fields)[1:-1]}\n" for path, fields in lines)
        script = self.folder / f"{name}.lua"
        script.write_text(f"""local made = {{}}
function init()
  for line in io.lines("{data}") do
    local path, fields = line:match("^(.-)\\t(.*)$")
    local headers = {{ ["Host"] = "app.test" }}
    for key, value in fields:gmatch('"(.-)": "(.-)"') do headers[key] = value end
    made[#made + 1] = wrk.format("GET", path, headers)
  end
end
local n = 0
function request() n = n % #made + 1; return made[n] end
""")
        return script

    def load(self, gateway: Gateway, script: pathlib.Path, seconds: float, keep: bool = True) -> int:
        """Asks for so long; how many requests were answered, all with 200."""
        before = cpu_seconds(gateway.process.pid)
        command = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{gateway.port}/"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in text or "Socket errors" in text:
            sys.exit(f"scale: {gateway.name} does not answer 200 to everything:\n{text}\n{gateway.output.read_text(errors='replace')[-3000:]}")
        requests = int(re.search(r"(\d+) requests in", text).group(1))
        if keep:
            gateway.cpu.append((cpu_seconds(gateway.process.pid) - before) * 100_000 / requests)
            gateway.rate.append(float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)))
        return requests

    def end(self, *gateways: Gateway) -> None:
        for gateway in gateways:
            gateway.process.terminate()
        for gateway in gateways:
            reap(gateway.process)

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            reap(process)


def open_files() -> int:
    """Raises the limit of open files as far as it goes, for this process and those it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
