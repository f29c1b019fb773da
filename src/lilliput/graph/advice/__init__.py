"""What could be done about each layer, and what it would save; one file for each kind of advice."""

from lilliput.graph.advice.advise import advice
from lilliput.graph.advice.entry import Advice

__all__ = ["Advice", "advice"]
