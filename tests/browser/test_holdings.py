"""A replica that has come apart from the server's is found out and filled anew; the outbox has no part in it."""

import pytest

from tests.browser.conftest import MakePhone, enrol
from tests.browser.coordinator import Coordinator
from tests.browser.lossy_proxy import LossyProxy
from tests.browser.phone import SECONDS, Phone
from tests.browser.server_process import ServerProcess, wait_until

pytestmark = pytest.mark.browser

# A block of records vanishes from the replica, and two days have passed since it was last compared.
COME_APART = """async () => {
    const opened = (name) => new Promise((resolve, reject) => {
        const request = indexedDB.open(name, 1);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    const written = (database, name, work) => new Promise((resolve, reject) => {
        const transaction = database.transaction(name, "readwrite");
        transaction.oncomplete = () => { database.close(); resolve(); };
        transaction.onerror = () => reject(transaction.error);
        work(transaction.objectStore(name));
    });
    await written(await opened("linli-sealed-replica"), "blocks", (store) => store.delete(1));
    await written(await opened("linli-outbox"), "device", (store) => {
        store.put(Date.now() - 2 * 24 * 60 * 60_000, "compared_at");
    });
}"""


def test_a_replica_that_has_come_apart_is_filled_anew(
    server: ServerProcess, coordinator: Coordinator, make_phone: MakePhone
) -> None:
    with LossyProxy(server.port) as proxy:
        phone = make_phone(proxy.url)
        enrol(phone, coordinator)
        doors = doors_of(phone)
        proxy.closed_paths.update({"/sync", "/sync/audit"})
        visit = phone.log_visit("met")
        phone.page.evaluate(COME_APART)
        phone.close()  # the worker remembers what it has read
        phone.start()
        assert len(doors_of(phone)) < len(doors)

        proxy.closed_paths.clear()

        wait_until(lambda: doors_of(phone) == doors, seconds=SECONDS, failure=lambda: "the doors are still missing")
        phone.wait_for_header("全部已上传")
        assert coordinator.visit_ids().count(visit) == 1


def doors_of(phone: Phone) -> list[str]:
    phone.open("/today")
    links: list[str] = phone.page.locator(".round .door__link").evaluate_all(
        "(links) => links.map((link) => link.href)"
    )
    return sorted(links)
