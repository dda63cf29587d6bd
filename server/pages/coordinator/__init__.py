"""The coordinators' pages: they need the network, and a session."""

from server.pages.coordinator import held, visits, volunteers

routes = [*visits.routes, *held.routes, *volunteers.routes]
