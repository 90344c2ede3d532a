"""The proxies that are compared, each with its configuration: one core, the same upstream."""

import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import time

from shared import b64, free_port, hs256, unsigned

GROUPS = ("plain", "verify", "full")
SECRET = "a-secret-of-the-comparison-0123456789-abcdef"
USERS = 1000


@dataclasses.dataclass
class Case:
    name: str
    group: str
    port: int
    command: list[str]
    script: pathlib.Path
    headers: list[str]
    #: The case that its figures are a ratio to, beside nginx.
    against: str = ""
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    pid: int = 0
    output: pathlib.Path | None = None
    cpu: list[float] = dataclasses.field(default_factory=list)
    rate: list[float] = dataclasses.field(default_factory=list)
    memory: list[float] = dataclasses.field(default_factory=list)
    latency: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/items/1"

    def log(self) -> str:
        return self.output.read_text(errors="replace")[-3000:] if self.output else ""


class Bench:
    """A folder with keys and tokens, and the processes that were started."""

    def __init__(self, folder: pathlib.Path, binary: pathlib.Path):
        self.folder, self.binary = folder, binary
        self.running: list[subprocess.Popen] = []
        self.upstream = free_port()
        self.key = folder / "key.pem"
        run = lambda *command: subprocess.run(command, check=True, capture_output=True)
        run("openssl", "genrsa", "-out", self.key, "2048")
        run("openssl", "rsa", "-in", self.key, "-pubout", "-out", folder / "public.pem")
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / "assertion.pem")
        self.tokens = {algorithm: [self.sign(algorithm, user) for user in range(USERS)] for algorithm in ("HS256", "RS256")}
        users = "".join(f'  - {{ user: "{user}", account: "{user % 50}", roles: [member] }}\n' for user in range(USERS))
        (folder / "users.yaml").write_text("users:\n" + users)

    def sign(self, algorithm: str, user: int) -> str:
        now = int(time.time())
        claims = {"iss": "bench", "aud": "bench", "sub": str(user), "account_id": str(user % 50), "iat": now,
                  "exp": now + 86400, "jti": f"{user:032x}", "token_type": "access"}
        if algorithm == "HS256":
            return hs256(claims, SECRET)
        message = unsigned(algorithm, claims)
        command = ["openssl", "dgst", "-sha256", "-sign", self.key]
        signature = subprocess.run(command, input=message.encode(), check=True, capture_output=True).stdout
        return f"{message}.{b64(signature)}"

    def lua(self, algorithm: str | None) -> tuple[pathlib.Path, list[str]]:
        """What wrk sends: a thousand users in turn, or nobody."""
        path = self.folder / f"load-{algorithm}.lua"
        if algorithm is None:
            path.write_text("")
            return path, []
        tokens = ",".join(f'"Bearer {token}"' for token in self.tokens[algorithm])
        path.write_text(
            f"local tokens = {{{tokens}}}\nlocal made = {{}}\n"
            "function init()\n  for i, token in ipairs(tokens) do\n"
            '    made[i] = wrk.format("GET", nil, { ["Authorization"] = token, ["Host"] = "app.test" })\n  end\nend\n'
            f"local n = 0\nfunction request()\n  n = n % {USERS} + 1\n  return made[n]\nend\n"
        )
        return path, [f"Authorization: Bearer {self.tokens[algorithm][0]}"]

    def file(self, name: str, text: str) -> pathlib.Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def spawn(self, command: list[str], cpu: str, output: pathlib.Path, env: dict[str, str]) -> subprocess.Popen:
        with output.open("wb") as log:
            process = subprocess.Popen(["taskset", "-c", cpu, *map(str, command)], stdout=log, stderr=log,
                                       env={**os.environ, **env}, cwd=self.folder, start_new_session=True)
        self.running.append(process)
        return process

    def start_upstream(self, cpu: str) -> None:
        conf = self.file("upstream.conf", nginx(self.folder / "upstream.pid", f"""
            server {{ listen 127.0.0.1:{self.upstream}; keepalive_requests 1000000000;
                location / {{ return 200 "ok\\n"; }} }}""", "access_log off;"))
        self.spawn(["nginx", "-c", conf], cpu, self.folder / "upstream.out", {})
        wait(self.upstream, self.folder / "upstream.out")

    def start(self, case: Case, cpu: str) -> None:
        case.output = self.folder / f"{case.port}.out"
        case.pid = self.spawn(case.command, cpu, case.output, case.env).pid
        wait(case.port, case.output)

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def wait(port: int, output: pathlib.Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"compare: nothing listens on {port}:\n{output.read_text(errors='replace')[-3000:]}")


def nginx(pid: pathlib.Path, http: str, log: str) -> str:
    return f"""daemon off; worker_processes 1; pid {pid}; error_log stderr warn;
        events {{ worker_connections 4096; }}
        http {{ {log} client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp;
            uwsgi_temp_path /tmp; scgi_temp_path /tmp; {http} }}"""


JSON_LOG = """log_format json escape=json '{"time":"$time_iso8601","request_id":"$request_id","method":"$request_method",'
    '"path":"$uri","status":$status,"duration":$request_time,"client":"$remote_addr","upstream":"$upstream_addr",'
    '"agent":"$http_user_agent"}'; access_log %s json;"""


def cases(bench: Bench, envoy: pathlib.Path | None) -> list[Case]:
    made: list[Case] = []

    def add(name, group, command, algorithm=None, against="", env=None, port=None):
        script, headers = bench.lua(algorithm)
        made.append(Case(name, group, port, [*map(str, command)], script, headers, against, env or {}))

    def add_nginx(name, group, log, algorithm=None):
        port = free_port()
        server = f"""upstream app {{ server 127.0.0.1:{bench.upstream}; keepalive 128; keepalive_requests 1000000000; }}
            server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000000;
                location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }} }}"""
        conf = bench.file(f"nginx-{port}.conf", nginx(bench.folder / f"{port}.pid", server, log))
        add(name, group, ["nginx", "-c", conf], algorithm, port=port)

    def add_haproxy(name, group, rules, algorithm=None):
        port = free_port()
        conf = bench.file(f"haproxy-{port}.cfg", f"""global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
    http-reuse always
frontend f
    bind 127.0.0.1:{port}
{rules}    default_backend app
backend app
    server app 127.0.0.1:{bench.upstream}
""")
        add(name, group, ["haproxy", "-db", "-f", conf], algorithm, port=port)

    def add_countersign(name, group, algorithm, cache, against="", public=False, assertion=False):
        port, admin = free_port(), free_port()
        key = f"secret: \"${{BENCH_SECRET}}\"" if algorithm != "RS256" else f"public_key_file: {bench.folder}/public.pem"
        proof = f"identity: {{ assertion: {{ private_key: {{ file: {bench.folder}/assertion.pem }} }} }}\n" if assertion else ""
        conf = bench.file(f"countersign-{port}.yaml", f"""
workers: 1
listeners: [ {{ address: "127.0.0.1:{port}" }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
issuers:
  - {{ name: bench, issuer: bench, audiences: [bench], {key}, algorithms: [{algorithm or "HS256"}], claims: {{ user: sub, account: account_id }} }}
credentials: [ {{ bearer: {{ forward: keep }} }} ]
directory: {{ source: {{ file: {{ path: users.yaml }} }} }}
{proof}upstreams: [ {{ name: app, servers: ["http://127.0.0.1:{bench.upstream}"], timeouts: {{ pool_idle: 60s }} }} ]
routes: [ {{ match: {{ path: / }}, access: {"public" if public else "member"}, upstream: app }} ]
limits: {{ token_cache: {cache} }}
audit: {{ sink: {{ file: {bench.folder}/audit-{port}.log }} }}
""")
        add(name, group, [bench.binary, "serve", "--config", conf], algorithm, against, {"BENCH_SECRET": SECRET}, port)

    def add_envoy(name, group, filters, algorithm=None):
        if envoy is None:
            return
        port = free_port()
        conf = bench.file(f"envoy-{port}.json", json.dumps(envoy_config(port, bench.upstream, filters)))
        add(name, group, [envoy, "-c", conf, "--concurrency", "1", "--log-level", "error", "--base-id", str(port)], algorithm, port=port)

    add_nginx("nginx, plain, no log", "plain", "access_log off;")
    add_haproxy("haproxy, plain", "plain", "")
    add_envoy("envoy, plain", "plain", [])
    add_countersign("countersign, public route, audit to a file", "plain", None, "0", public=True)

    for algorithm, key in (("RS256", f"{bench.folder}/public.pem"), ("HS256", SECRET)):
        add_haproxy(f"haproxy, jwt_verify {algorithm}", "verify", f"""    http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
    http-request deny unless {{ var(txn.alg) -m str {algorithm} }}
    http-request deny unless {{ http_auth_bearer,jwt_verify(txn.alg,"{key}") 1 }}
""", algorithm)
        add_countersign(f"countersign, {algorithm} verified each time", "verify", algorithm, "0",
                        against=f"haproxy, jwt_verify {algorithm}")
    add_envoy("envoy, jwt_authn RS256, no cache", "verify", [jwt_filter(bench, 0)], "RS256")

    add_nginx("nginx, plain, JSON log to a file", "full", JSON_LOG % (bench.folder / "nginx.log"))
    add_countersign("countersign, everything on", "full", "HS256", "32MiB", against="nginx, plain, JSON log to a file", assertion=True)
    add_countersign("countersign, everything on, RS256", "full", "RS256", "32MiB", against="nginx, plain, JSON log to a file", assertion=True)
    add_envoy("envoy, jwt_authn RS256, cache", "full", [jwt_filter(bench, 2 * USERS)], "RS256")
    return made


def jwt_filter(bench: Bench, cache: int) -> dict:
    modulus = subprocess.run(["openssl", "rsa", "-pubin", "-in", bench.folder / "public.pem", "-noout", "-modulus"],
                             check=True, capture_output=True, text=True).stdout.split("=")[1].strip()
    jwks = {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}]}
    provider = {"issuer": "bench", "audiences": ["bench"], "local_jwks": {"inline_string": json.dumps(jwks)}, "forward": True}
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": cache}
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"bench": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}]}}


def envoy_config(port: int, upstream: int, filters: list[dict]) -> dict:
    kind = "type.googleapis.com/envoy.extensions.filters."
    address = lambda number: {"socket_address": {"address": "127.0.0.1", "port_value": number}}
    manager = {
        "@type": kind + "network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": {"@type": kind + "http.router.v3.Router"}}]}
    return {"static_resources": {
        "listeners": [{"name": "l", "address": address(port), "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}],
        "clusters": [{"name": "app", "connect_timeout": "5s", "type": "STATIC", "load_assignment": {
            "cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]}}]}}
