"""Lilliput makes neural networks small, and proves it on the file that ships.

Names are listed in `__init__.pyi` and load when they are first used (PEP 562), so that
`import lilliput` stays quick.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
