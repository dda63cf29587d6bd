"""The coordinators' pages: they need the network, and a session."""

from server.pages.coordinator import conflicts, devices, held, visits, volunteers

routes = [*visits.routes, *held.routes, *conflicts.routes, *devices.routes, *volunteers.routes]
