"""The bundle oltc_controller: drives an on-load tap changer step by step."""

from oltc_controller.controller import OltcController

__all__ = ["OltcController"]
