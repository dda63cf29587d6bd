"""The coordinators' pages: they need the network, and a session."""

from server.pages.coordinator import buildings, conflicts, devices, held, needs, people_map, rounds, visits, volunteers

routes = [
    *visits.routes,
    *needs.routes,
    *held.routes,
    *conflicts.routes,
    *devices.routes,
    *volunteers.routes,
    *rounds.routes,
    *people_map.routes,
    *buildings.routes,
]
