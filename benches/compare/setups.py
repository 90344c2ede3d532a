"""The proxies that are compared, each with its configuration: one core, the same upstream.

Here are the groups that ask for something small over HTTP/1.1 in clear text; `protocols.py` has the
others.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Callable

from shared import b64, certificate, free_port, hs256, nginx, reap, unsigned, wait

SECRET = "a-secret-of-the-comparison-0123456789-abcdef"
USERS = 1000
MIB = 1 << 20


@dataclasses.dataclass
class Case:
    name: str
    group: str
    port: int
    command: list[str]
    #: What wrk sends, and the same for h2load.
    script: pathlib.Path
    headers: list[str]
    #: The case that its figures are a ratio to.
    against: str = ""
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    #: How it is loaded: a name of `loads.LOADS`.
    load: str = "requests"
    scheme: str = "http"
    path: str = "/items/1"
    pid: int = 0
    output: pathlib.Path | None = None
    cpu: list[float] = dataclasses.field(default_factory=list)
    rate: list[float] = dataclasses.field(default_factory=list)
    #: The part of its core that it was on while it was loaded.
    busy: list[float] = dataclasses.field(default_factory=list)
    memory: list[float] = dataclasses.field(default_factory=list)
    #: Of each round: quantiles of the microseconds at a fixed rate.
    latencies: list[dict[str, float]] = dataclasses.field(default_factory=list)
    #: System calls for each request at the full rate.
    calls: float | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{self.path}"

    def log(self) -> str:
        return self.output.read_text(errors="replace")[-3000:] if self.output else ""


class Bench:
    """A folder with keys and tokens, and the processes that were started."""

    def __init__(self, folder: pathlib.Path, binary: pathlib.Path):
        self.folder, self.binary = folder, binary
        self.running: list[subprocess.Popen] = []
        #: What else a group needs, and how it is started on a CPU.
        self.also: dict[str, Callable[[str], None]] = {}
        self.upstream = free_port()
        self.key = folder / "key.pem"
        run = lambda *command: subprocess.run(command, check=True, capture_output=True)
        run("openssl", "genrsa", "-out", self.key, "2048")
        run("openssl", "rsa", "-in", self.key, "-pubout", "-out", folder / "public.pem")
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / "assertion.pem")
        certificate(folder)
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

    def start_upstream(self, cpu: str) -> subprocess.Popen:
        """Answers with three bytes, on /big with 1 MiB."""
        big = self.folder / "big"
        big.mkdir()
        (big / "big").write_bytes(os.urandom(MIB))
        self.folder.chmod(0o755)
        conf = self.file("upstream.conf", nginx(self.folder / "upstream.pid", f"""sendfile on; client_max_body_size 16m;
            server {{ listen 127.0.0.1:{self.upstream} backlog=4096; keepalive_requests 1000000000; keepalive_timeout 600s;
                location = /big {{ root {big}; }}
                location / {{ return 200 "ok\\n"; }} }}""", "access_log off;"))
        process = self.spawn(["nginx", "-c", conf], cpu, self.folder / "upstream.out", {})
        wait(self.upstream, self.folder / "upstream.out", process)
        return process

    def start(self, case: Case, cpu: str) -> None:
        case.output = self.folder / f"{case.port}.out"
        process = self.spawn(case.command, cpu, case.output, case.env)
        case.pid = process.pid
        wait(case.port, case.output, process)

    def end(self, case: Case) -> None:
        """Ends one, so that the next group has the machine to itself."""
        process = next(process for process in self.running if process.pid == case.pid)
        process.terminate()
        reap(process)

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            reap(process)


JSON_LOG = """log_format json escape=json '{"time":"$time_iso8601","request_id":"$request_id","method":"$request_method",'
    '"path":"$uri","status":$status,"duration":$request_time,"client":"$remote_addr","upstream":"$upstream_addr",'
    '"agent":"$http_user_agent"}'; access_log %s json;"""


#: What HAProxy's own guide to JWT checks: algorithm, issuer, audience, signature, expiry. Without the
#: last ones it would not be the job that the others do.
HAPROXY_JWT = """    http-request deny unless {{ req.hdr(authorization) -m found }}
    http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
    http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
    http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud')
    http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
    http-request deny unless {{ var(txn.alg) -m str {algorithm} }}
    http-request deny unless {{ var(txn.iss) -m str bench }}
    http-request deny unless {{ var(txn.aud) -m str bench }}
    http-request deny unless {{ http_auth_bearer,jwt_verify(txn.alg,"{key}") -m int 1 }}
    http-request set-var(txn.now) date()
    http-request deny if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
"""


class Maker:
    """Makes cases; what is the same for all proxies of a kind stands here once."""

    def __init__(self, bench: Bench):
        self.bench = bench
        self.made: list[Case] = []

    def add(self, name, group, command, port, algorithm=None, **more) -> None:
        script, headers = self.bench.lua(algorithm)
        self.made.append(Case(name, group, port, [*map(str, command)], more.pop("script", script), headers, **more))

    def nginx(self, name, group, log="access_log off;", listen="", upstream=None, server="", **more) -> None:
        """Forwards over HTTP/1.1 with kept connections; bodies stream, as they do in the others."""
        bench, port = self.bench, free_port()
        text = f"""upstream app {{ server 127.0.0.1:{upstream or bench.upstream}; keepalive 128; keepalive_requests 1000000000; }}
            client_max_body_size 16m; proxy_request_buffering off; proxy_max_temp_file_size 0;
            server {{ listen 127.0.0.1:{port} {listen} backlog=4096; keepalive_requests 1000000000; {server}
                location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }}
                location /ws {{ proxy_pass http://app; proxy_http_version 1.1; proxy_read_timeout 600s;
                    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}"""
        conf = bench.file(f"nginx-{port}.conf", nginx(bench.folder / f"{port}.pid", text, log))
        self.add(name, group, ["nginx", "-c", conf], port, **more)

    def haproxy(self, name, group, rules="", bind="", upstream=None, **more) -> None:
        bench, port = self.bench, free_port()
        conf = bench.file(f"haproxy-{port}.cfg", f"""
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    option http-keep-alive
    http-reuse always
frontend in
    bind 127.0.0.1:{port} {bind}
    option forwardfor
{rules}    default_backend app
backend app
    server app 127.0.0.1:{upstream or bench.upstream}
""")
        self.add(name, group, ["haproxy", "-db", "-f", conf], port, **more)

    def countersign(self, name, group, algorithm=None, cache="0", public=False, assertion=False, lines=True, listen="", upstream=None, **more) -> None:
        bench, port, admin = self.bench, free_port(), free_port()
        key = f'secret: "${{BENCH_SECRET}}"' if algorithm != "RS256" else f"public_key_file: {bench.folder}/public.pem"
        proof = f"identity: {{ assertion: {{ private_key: {{ file: {bench.folder}/assertion.pem }} }} }}\n" if assertion else ""
        conf = bench.file(f"countersign-{port}.yaml", f"""
workers: 1
listeners: [ {{ address: "127.0.0.1:{port}"{listen} }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
issuers:
  - {{ name: bench, issuer: bench, audiences: [bench], {key}, algorithms: [{algorithm or "HS256"}], claims: {{ user: sub, account: account_id }} }}
credentials: [ {{ bearer: {{ forward: keep }} }} ]
directory: {{ source: {{ file: {{ path: users.yaml }} }} }}
{proof}upstreams: [ {{ name: app, servers: ["http://127.0.0.1:{upstream or bench.upstream}"], timeouts: {{ pool_idle: 60s }} }} ]
routes: [ {{ match: {{ path: / }}, access: {"public" if public else "member"}{"" if lines else ", audit: refusals"}, upstream: app }} ]
limits: {{ token_cache: {cache} }}
drain: {{ delay: 0s, timeout: 5s }}
audit: {{ sink: {{ file: {bench.folder}/audit-{port}.log }} }}
""")
        self.add(name, group, [bench.binary, "serve", "--config", conf], port, algorithm, env={"BENCH_SECRET": SECRET}, **more)

    def envoy(self, envoy, name, group, filters, log=False, **more) -> None:
        if envoy is None:
            return
        port = free_port()
        path = self.bench.folder / f"envoy-{port}.log" if log else None
        conf = self.bench.file(f"envoy-{port}.json", json.dumps(envoy_config(port, self.bench.upstream, filters, path)))
        self.add(name, group, [envoy, "-c", conf, "--concurrency", "1", "--log-level", "error", "--base-id", str(port)], port, **more)

    def traefik(self, traefik, name, group, **more) -> None:
        if traefik is None:
            return
        port = free_port()
        dynamic = self.bench.file(f"traefik-{port}-routes.yaml", f"""http:
  routers: {{ app: {{ rule: "PathPrefix(`/`)", service: app, entryPoints: [web] }} }}
  services: {{ app: {{ loadBalancer: {{ servers: [ {{ url: "http://127.0.0.1:{self.bench.upstream}" }} ] }} }} }}
""")
        conf = self.bench.file(f"traefik-{port}.yaml", f"""entryPoints: {{ web: {{ address: "127.0.0.1:{port}" }} }}
providers: {{ file: {{ filename: {dynamic} }} }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
log: {{ level: ERROR }}
""")
        self.add(name, group, [traefik, f"--configFile={conf}"], port, env={"GOMAXPROCS": "1"}, **more)


def cases(bench: Bench, envoy: pathlib.Path | None, traefik: pathlib.Path | None) -> list[Case]:
    """The groups plain, verify and full."""
    make = Maker(bench)
    bare, logged = "nginx, plain, no log", "nginx, plain, JSON log to a file"
    make.nginx(bare, "plain")
    make.haproxy("haproxy, plain", "plain", against=bare)
    make.envoy(envoy, "envoy, plain", "plain", [], against=bare)
    make.traefik(traefik, "traefik, plain", "plain", against=bare)
    make.countersign("countersign, public route, no audit lines", "plain", public=True, lines=False, against=bare)
    make.countersign("countersign, public route, audit to a file", "plain", public=True, against=bare)

    for algorithm, key in (("RS256", f"{bench.folder}/public.pem"), ("HS256", SECRET)):
        peer = f"haproxy, jwt_verify {algorithm}, iss, aud, exp"
        make.haproxy(peer, "verify", HAPROXY_JWT.format(algorithm=algorithm, key=key), algorithm=algorithm)
        make.countersign(f"countersign, {algorithm} verified each time", "verify", algorithm, against=peer)
    make.envoy(envoy, "envoy, jwt_authn RS256, no cache", "verify", [jwt_filter(bench, 0)], algorithm="RS256")

    make.nginx(logged, "full", JSON_LOG % (bench.folder / "nginx.log"))
    make.countersign("countersign, everything on", "full", "HS256", "32MiB", against=logged, assertion=True)
    make.countersign("countersign, everything on, RS256", "full", "RS256", "32MiB", against=logged, assertion=True)
    make.envoy(envoy, "envoy, jwt_authn RS256, cache, no log", "full", [jwt_filter(bench, 2 * USERS)], algorithm="RS256", against=logged)
    make.envoy(envoy, "envoy, jwt_authn RS256, cache, claims to headers, JSON log", "full", [jwt_filter(bench, 2 * USERS, CLAIMS)], log=True,
               algorithm="RS256", against=logged)
    return make.made


#: What the app is told of the token, as Countersign tells it of the live record.
CLAIMS = [{"header_name": "x-auth-user-id", "claim_name": "sub"}, {"header_name": "x-auth-account-id", "claim_name": "account_id"}]


def jwt_filter(bench: Bench, cache: int, claims: list[dict] | None = None) -> dict:
    modulus = subprocess.run(["openssl", "rsa", "-pubin", "-in", bench.folder / "public.pem", "-noout", "-modulus"],
                             check=True, capture_output=True, text=True).stdout.split("=")[1].strip()
    jwks = {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}]}
    provider = {"issuer": "bench", "audiences": ["bench"], "local_jwks": {"inline_string": json.dumps(jwks)}, "forward": True}
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": cache}
    if claims:
        provider["claim_to_headers"] = claims
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"bench": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}]}}


#: What nginx logs in `JSON_LOG`, in Envoy's words.
ENVOY_LOG = {"time": "%START_TIME%", "request_id": "%REQ(X-REQUEST-ID)%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%",
             "status": "%RESPONSE_CODE%", "duration": "%DURATION%", "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
             "upstream": "%UPSTREAM_HOST%", "agent": "%REQ(USER-AGENT)%"}


def envoy_config(port: int, upstream: int, filters: list[dict], log: pathlib.Path | None = None) -> dict:
    kind = "type.googleapis.com/envoy.extensions.filters."
    address = lambda number: {"socket_address": {"address": "127.0.0.1", "port_value": number}}
    manager = {
        "@type": kind + "network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": {"@type": kind + "http.router.v3.Router"}}]}
    if log:
        manager["access_log"] = [{"name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
            "log_format": {"json_format": ENVOY_LOG}}}]
    return {"static_resources": {
        "listeners": [{"name": "l", "address": address(port), "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}],
        "clusters": [{"name": "app", "connect_timeout": "5s", "type": "STATIC", "load_assignment": {
            "cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]}}]}}
