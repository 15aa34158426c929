"""What the rendered manifests must say. Run by render.sh, which brings kubectl and the schemas."""

import os
import re
import subprocess
import tomllib
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

KUSTOMIZE = Path(__file__).resolve().parent.parent
CHECKOUT = KUSTOMIZE.parent
KUBERNETES = "1.37"
SERVICES = ("producer-svc", "consumer-svc")
PARTS = (*SERVICES, "frontend")


def render(folder):
    """The objects of a kustomization, by (kind, name)."""
    command = [os.environ["KUBECTL"], "kustomize", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise AssertionError(f"{folder.name} does not render: {run.stderr}")
    if run.stderr:
        raise AssertionError(f"{folder.name} renders with a warning: {run.stderr}")
    objects = list(yaml.safe_load_all(run.stdout))
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(by_name) == len(objects), "two objects have one name"
    return by_name


def seconds(duration):
    """A duration as the services read it: the unit is required."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", duration).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


class Base(unittest.TestCase):
    """The base, which every environment builds on."""

    @classmethod
    def setUpClass(cls):
        cls.objects = render(KUSTOMIZE / "base")

    def named(self, kind, name):
        return self.objects[(kind, name)]

    def pod(self, app):
        return self.named("Deployment", app)["spec"]["template"]["spec"]

    def container(self, app):
        (container,) = self.pod(app)["containers"]
        return container

    def ports(self, app):
        return {port["name"]: port["containerPort"] for port in self.container(app)["ports"]}

    def environment(self, app):
        """The variables a container gets, as Kubernetes would resolve them."""
        merged = {}
        for source in self.container(app)["envFrom"]:
            merged.update(self.named("ConfigMap", source["configMapRef"]["name"])["data"])
        return merged

    def test_every_object_fits_the_schema_and_nothing_is_misspelt(self):
        for (kind, name), one in self.objects.items():
            with self.subTest(kind=kind, name=name):
                kubernetes_validate.validate(one, KUBERNETES, strict=True)

    def test_the_schema_check_can_fail(self):
        broken = yaml.safe_load(yaml.safe_dump(self.named("Deployment", "producer-svc")))
        broken["spec"]["template"]["spec"]["enableServiceLinkz"] = False
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, KUBERNETES, strict=True)

    def test_each_part_is_a_deployment_a_service_and_an_account_of_its_own(self):
        for kind in ("Deployment", "Service", "ServiceAccount"):
            names = {name for (of, name) in self.objects if of == kind}
            self.assertEqual(names, set(PARTS), kind)
        for app in PARTS:
            self.assertEqual(self.pod(app)["serviceAccountName"], app)

    def test_services_reach_their_pods_on_the_promised_ports(self):
        expected = {"producer-svc": (8000, 8000), "consumer-svc": (8001, 8001), "frontend": (80, 8080)}
        for app, (outside, inside) in expected.items():
            service = self.named("Service", app)["spec"]
            (port,) = service["ports"]
            self.assertEqual(port["port"], outside)
            self.assertEqual(self.ports(app)[port["targetPort"]], inside)
            labels = self.named("Deployment", app)["spec"]["template"]["metadata"]["labels"]
            self.assertLessEqual(service["selector"].items(), labels.items())

    def test_the_ingress_is_the_picture_in_the_contract(self):
        spec = self.named("Ingress", "purchase-platform")["spec"]
        routes = {}
        for rule in spec["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                names = {port["name"] for port in self.named("Service", backend["name"])["spec"]["ports"]}
                self.assertIn(backend["port"]["name"], names)
                routes[(rule["host"], path["path"])] = backend["name"]
        self.assertEqual(spec["ingressClassName"], "nginx")
        self.assertEqual(
            routes,
            {("localhost", "/api"): "producer-svc", ("localhost", "/"): "frontend", ("api.localhost", "/"): "producer-svc"},
        )

    def test_probes_ask_the_admin_port_and_only_readiness_may_look_at_dependencies(self):
        paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
        for app, admin in (("producer-svc", 9000), ("consumer-svc", 9001)):
            self.assertEqual(self.ports(app)["admin"], admin)
            for probe, path in paths.items():
                self.assertEqual(self.container(app)[probe]["httpGet"], {"path": path, "port": "admin"})

    def test_a_pod_has_time_to_drain_before_it_is_killed(self):
        for app in SERVICES:
            wait = self.container(app)["lifecycle"]["preStop"]["sleep"]["seconds"]
            drain = seconds(self.environment(app)["DRAIN_TIMEOUT"])
            self.assertGreaterEqual(self.pod(app)["terminationGracePeriodSeconds"], wait + drain + 5, app)

    def test_pods_run_with_no_privilege_at_all(self):
        for app in PARTS:
            pod, container = self.pod(app), self.container(app)
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertIs(pod["automountServiceAccountToken"], False)
            self.assertIs(pod["enableServiceLinks"], False)
            self.assertEqual(
                container["securityContext"],
                {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
            )

    def test_what_the_autoscaler_needs_is_there_and_replicas_are_left_to_it(self):
        for app in PARTS:
            self.assertNotIn("replicas", self.named("Deployment", app)["spec"])
            resources = self.container(app)["resources"]
            self.assertLessEqual({"cpu", "memory"}, set(resources["requests"]))
            self.assertEqual(set(resources["limits"]), {"memory"})

    def test_configuration_is_generated_so_that_a_change_rolls_the_pods(self):
        for kind, name in self.objects:
            if kind == "ConfigMap":
                self.assertRegex(name, r"-[a-z0-9]{10}$")

    def test_every_variable_is_one_that_the_part_reads(self):
        shared = "".join(file.read_text() for file in (CHECKOUT / "host/src").rglob("*.rs"))
        for app in SERVICES:
            rooms = [CHECKOUT / app / "src/config.rs", *(CHECKOUT / app / "src/config").glob("*.rs")]
            known = shared + "".join(room.read_text() for room in rooms if room.name != "tests.rs")
            for name in self.environment(app):
                self.assertTrue(f'"{name}"' in known, f"{app} does not read {name}")
        start = (CHECKOUT / "frontend/nginx/start.sh").read_text()
        for name in self.environment("frontend"):
            self.assertIn(f"#   {name} ", start)

    def test_the_parts_are_told_where_the_others_are(self):
        for app in SERVICES:
            self.assertEqual(self.environment(app)["KAFKA_TOPIC"], "purchases")
            self.assertIn("KAFKA_BOOTSTRAP_SERVERS", self.environment(app))
        self.assertEqual(self.environment("producer-svc")["CUSTOMER_MANAGEMENT_API_URL"], "http://consumer-svc:8001")
        self.assertEqual(self.environment("frontend")["PRODUCER_UPSTREAM"], "producer-svc:8000")
        self.assertNotIn("@", self.environment("consumer-svc")["MONGODB_URI"], "a password belongs into a Secret")

    def test_clients_are_told_apart_behind_the_ingress(self):
        behind = {
            path["backend"]["service"]["name"]
            for rule in self.named("Ingress", "purchase-platform")["spec"]["rules"]
            for path in rule["http"]["paths"]
        }
        for app in SERVICES:
            header = self.environment(app).get("TRUSTED_PROXY_HEADER")
            self.assertEqual(header, "x-forwarded-for" if app in behind else None, app)
        # One proxy between a client and the pods: the ingress.
        self.assertEqual(self.environment("producer-svc")["TRUSTED_PROXY_HOPS"], "1")

    def test_the_images_are_of_this_version(self):
        version = tomllib.loads((CHECKOUT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
        for app in PARTS:
            self.assertEqual(self.container(app)["image"], f"{app}:{version}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
