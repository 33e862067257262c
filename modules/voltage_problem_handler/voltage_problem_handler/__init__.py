"""The bundle voltage_problem_handler: decides the tap position that solves a voltage problem."""

from voltage_problem_handler.handler import VoltageProblemHandler

__all__ = ["VoltageProblemHandler"]
