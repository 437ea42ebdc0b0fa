"""A real Home Assistant, asked over its own REST interface:  peer.py FOLDER BROKER_PORT

One request as JSON on each line of the input, one answer on each line of the output; the first line is written once Home
Assistant runs and is connected to the broker. What is waited for is looked at again until it is so; whoever asks has the
deadline. Ends with its input.
"""

import json
import pathlib
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import jwt

folder, broker = pathlib.Path(sys.argv[1]), int(sys.argv[2])
PAUSE = 0.05


def storage(key, version, minor, data):
    (folder / ".storage").mkdir(parents=True, exist_ok=True)
    document = {"version": version, "minor_version": minor, "key": key, "data": data}
    (folder / ".storage" / key).write_text(json.dumps(document))


def configure(port):
    """One user with a token, and the connection to the broker, as the screens of Home Assistant would store them."""
    (folder).mkdir(parents=True, exist_ok=True)
    (folder / "configuration.yaml").write_text(
        "homeassistant: {name: Test, time_zone: UTC, unit_system: metric}\n"
        f"http: {{server_host: 127.0.0.1, server_port: {port}}}\n"
        "api:\n"
    )
    key, then = secrets.token_hex(64), "2025-01-01T00:00:00+00:00"
    storage("auth", 1, 1, {
        "users": [{
            "id": "user", "group_ids": ["system-admin"], "is_owner": True, "is_active": True, "name": "Test",
            "system_generated": False, "local_only": False,
        }],
        "groups": [{"id": "system-admin", "name": "Administrators"}],
        "credentials": [],
        "refresh_tokens": [{
            "id": "token", "user_id": "user", "client_id": None, "client_name": "test", "client_icon": None,
            "token_type": "long_lived_access_token", "created_at": then, "access_token_expiration": 315360000.0,
            "token": secrets.token_hex(64), "jwt_key": key, "last_used_at": None, "last_used_ip": None,
            "expire_at": None, "credential_id": None, "version": None,
        }],
    })
    storage("core.config_entries", 1, 5, {"entries": [{
        "created_at": then, "modified_at": then,
        "data": {"broker": "127.0.0.1", "port": broker, "protocol": "3.1.1"},
        "disabled_by": None, "discovery_keys": {}, "domain": "mqtt", "entry_id": "0" * 26, "minor_version": 2,
        "options": {}, "pref_disable_new_entities": False, "pref_disable_polling": False, "source": "user",
        "subentries": [], "title": "broker", "unique_id": None, "version": 1,
    }]})
    now = int(time.time())
    return jwt.encode({"iss": "token", "iat": now, "exp": now + 86400}, key, algorithm="HS256")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Home:
    def __init__(self):
        self.port = free_port()
        self.token = configure(self.port)
        hass = pathlib.Path(sys.executable).parent / "hass"
        self.process = subprocess.Popen(
            [hass, "-c", folder, "--skip-pip"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def template(self, template, variables=None):
        return self.ask("POST", "template", {"template": template, "variables": variables or {}})

    def state(self, entity):
        try:
            return json.loads(self.ask("GET", f"states/{entity}"))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def until(self, look):
        while True:
            if self.process.poll() is not None:
                sys.exit(f"Home Assistant ended with {self.process.returncode}")
            found = look()
            if found is not None:
                return found
            time.sleep(PAUSE)

    def started(self):
        try:
            running = json.loads(self.ask("GET", "config"))["state"] == "RUNNING"
        except (OSError, urllib.error.HTTPError):
            return None
        # The integration has its services once it is connected.
        services = running and self.ask("GET", "services")
        return True if services and '"domain":"mqtt"' in services.replace(" ", "") else None

    def do(self, ask):
        match ask["do"]:
            case "state":
                state = self.state(ask["entity"])
                wanted = ask.get("attributes", {})
                fits = state and ask.get("state") in (None, state["state"])
                fits = fits and all(state["attributes"].get(name) == value for name, value in wanted.items())
                self.last = state
                return state if fits else None
            case "gone":
                return True if self.state(ask["entity"]) is None else None
            case "call":
                self.ask("POST", f"services/{ask['service']}", ask["data"])
                return True
            case "template":
                rendered = self.template(ask["template"], ask.get("variables"))
                self.last = rendered
                return rendered if ask.get("is") in (None, rendered) else None
            case "log":
                log = folder / "home-assistant.log"
                return log.read_text() if log.exists() else ""


home = Home()
try:
    home.until(home.started)
    print(json.dumps("running"), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        print(json.dumps(home.until(lambda: home.do(ask))), flush=True)
finally:
    home.process.terminate()
    try:
        home.process.wait(20)
    except subprocess.TimeoutExpired:
        home.process.kill()
