"""Runs that are stopped at a chosen moment."""


class Interrupt(Exception):
    """Stands for whatever stops a run."""


class StopAfter:
    """An observer that stops a run after some clients of some round; after the round with clients < 0."""

    def __init__(self, round, clients):
        self.at, self.round, self.left = round, 0, clients

    def features_extracted(self, what, done, total):
        pass

    def round_started(self, round, num_rounds, num_clients):
        self.round = round

    def job_waiting(self, job):
        pass

    def client_finished(self, client):
        if self.round == self.at:
            self.left -= 1
            if self.left == 0:
                raise Interrupt

    def round_finished(self, record):
        if record.round == self.at and self.left < 0:
            raise Interrupt
