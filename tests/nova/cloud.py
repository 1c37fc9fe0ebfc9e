"""What the lab asks of its own cloud as the administrator that clouds.yaml names: `cloud.py COMMAND [WORD…]`."""

import sys
import time

import openstack
from openstack.exceptions import SDKException, raise_from_response

DOMAIN = "default"
ENDPOINTS = {
    ("nova", "compute"): "http://127.0.0.1:8774/v2.1",
    ("placement", "placement"): "http://127.0.0.1:8778",
    ("glance", "image"): "http://127.0.0.1:9292",
    ("neutron", "network"): "http://127.0.0.1:9696",
}
PATIENCE_SECONDS = 120


def fill_keystone(cloud):
    """Services, their endpoints, and the user that all of them are to each other."""
    identity = cloud.identity
    project = identity.create_project(name="service", domain_id=DOMAIN)
    user = identity.create_user(name="service", password="lab", domain_id=DOMAIN)
    identity.assign_project_role_to_user(project, user, identity.find_role("admin"))
    for (name, kind), url in ENDPOINTS.items():
        service = identity.create_service(name=name, type=kind)
        for interface in ("public", "internal"):
            identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id="RegionOne")


def fill_nova(cloud):
    """An image and a flavour that fit everywhere, and a flavour that fits nowhere."""
    image = answer(cloud.image.post("/images", json={
        "name": "empty", "disk_format": "raw", "container_format": "bare", "visibility": "public"}))
    raise_from_response(cloud.image.put(
        f"/images/{image['id']}/file", data=bytes(512), headers={"Content-Type": "application/octet-stream"}))
    for number, name, memory, cores in (("1", "small", 512, 1), ("2", "too-large", 7_000_000, 1)):
        answer(cloud.compute.post("/flavors", json={"flavor": {
            "id": number, "name": name, "ram": memory, "vcpus": cores, "disk": 1}}))


def await_services(cloud, *names):
    """Returns when Nova says of each of these computes that it is up."""
    def up():
        found = answer(cloud.compute.get("/os-services?binary=nova-compute"))["services"]
        return {service["host"] for service in found if service["state"] == "up"}
    wait_for("the computes to be up", lambda: up() >= set(names))


def await_computes(cloud, *names):
    """The same, and that Nova can place servers on them."""
    await_services(cloud, *names)
    def known():
        found = answer(cloud.compute.get("/os-hypervisors"))["hypervisors"]
        return {hypervisor["hypervisor_hostname"] for hypervisor in found if hypervisor["state"] == "up"}
    wait_for("the hypervisors to be known", lambda: known() >= set(names))


def servers(cloud, count, host):
    """Boots servers on one compute, and prints their ids when all are active."""
    image = answer(cloud.image.get("/images?name=empty"))["images"][0]["id"]
    wanted = [answer(cloud.compute.post("/servers", microversion="2.74", json={"server": {
        "name": f"{host}-{number}", "imageRef": image, "flavorRef": "1", "networks": "none", "host": host,
    }}))["server"]["id"] for number in range(1, int(count) + 1)]

    def active():
        found = answer(cloud.compute.get("/servers/detail?status=ACTIVE"))["servers"]
        return {server["id"] for server in found}
    wait_for("the servers to be active", lambda: active() >= set(wanted))
    print("\n".join(wanted))


def computes(cloud):
    """What Nova thinks of the computes."""
    found = answer(cloud.compute.get("/os-services?binary=nova-compute", microversion="2.53"))["services"]
    print(f"{'COMPUTE':<15} {'STATE':<7} {'STATUS':<9} FORCED DOWN")
    for service in sorted(found, key=lambda service: service["host"]):
        forced = "yes" if service["forced_down"] else "no"
        print(f"{service['host']:<15} {service['state']:<7} {service['status']:<9} {forced}")


def answer(response):
    """The body of what was answered, which must be no error."""
    raise_from_response(response)
    return response.json()


def wait_for(what, reached):
    """Looks until it is so, and not for ever."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        if time.monotonic() > until:
            sys.exit(f"waited {PATIENCE_SECONDS} seconds in vain for {what}")
        time.sleep(0.3)


COMMANDS = {function.__name__.replace("_", "-"): function for function in (
    fill_keystone, fill_nova, await_services, await_computes, servers, computes)}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](openstack.connect(), *sys.argv[2:])
    except SDKException as error:
        sys.exit(f"the cloud does not serve: {error}")
