"""The HTTP door of a substation. The entry of the bundle is DashboardInterface; nothing happens at import."""

from dashboard_interface.module import DashboardInterface

__all__ = ["DashboardInterface"]
