<%@ include file="head.jspf" %>
<h1><%= Html.text(request.getAttribute("jakarta.servlet.error.status_code")) %></h1>
<p class="wrong"><%= Html.text(request.getAttribute("jakarta.servlet.error.message")) %></p>
<p><a href="<%= root %>/orders">返回 Back</a></p>
</body></html>
