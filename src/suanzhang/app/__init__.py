"""The verbs: joins the physics, the search, the simulators and the money."""
