"""Event engines: requests on replicas, jobs on a fleet."""
